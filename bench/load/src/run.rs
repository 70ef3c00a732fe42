//! The event loop of a run: producers and consumers, on one thread.
//!
//! A run warms up, is measured, and then drains: what is in flight, or due by the schedule, is still sent and waited for,
//! so that no slow answer escapes.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::batch::{Payload, ProducerId};
use crate::connection::Connection;
use crate::consumer::{Consumer, FetchShape, Position};
use crate::control::{Control, EARLIEST, LATEST, Membership};
use crate::failure::{Failure, Result};
use crate::process::cpu_seconds;
use crate::producer::{ProduceShape, Producer};
use crate::reactor::{Reactor, Ready};
use crate::report::{Report, Window};
use crate::schedule::Schedule;
use crate::send_times::SendTimes;

const SECOND_NS: u64 = 1_000_000_000;
/// How long answers and records that are still to come are waited for.
const DRAIN_NS: u64 = 30 * SECOND_NS;

pub struct ProduceOptions {
    pub connections: usize,
    pub in_flight_max: usize,
    pub acks: i16,
    pub is_idempotent: bool,
    pub record_bytes: usize,
    pub batch: BatchSize,
    /// Records a second that are offered; None sends the next as soon as one is acknowledged.
    pub rate: Option<f64>,
    /// Ends the run after so many records instead of after a time.
    pub records_max: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BatchSize {
    Records(u32),
    Bytes(usize),
}

pub struct ConsumeOptions {
    pub consumers: usize,
    /// Each consumer is the member of a group of its own, reads every partition and commits.
    pub has_groups: bool,
    /// From the first offset, or else from the tail.
    pub from_start: bool,
    /// Ends the run at the last offset instead of beginning again.
    pub until_end: bool,
    pub max_bytes: i32,
    pub partition_max_bytes: i32,
    pub checks_crc: bool,
}

pub struct Options {
    pub bootstrap: String,
    pub topic: String,
    pub warmup_seconds: f64,
    pub seconds: f64,
    /// A process whose processor time is measured beside.
    pub pid: Option<String>,
    pub produce: Option<ProduceOptions>,
    pub consume: Option<ConsumeOptions>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Phase {
    Warmup,
    Measured,
    Drain,
}

struct Cpu {
    own: f64,
    broker: Option<f64>,
}

struct Run<'a> {
    options: &'a Options,
    producers: Vec<Producer>,
    schedules: Vec<Schedule>,
    consumers: Vec<Consumer>,
    is_writable_wanted: Vec<bool>,
    times: SendTimes,
    report: Report,
    reactor: Reactor,
    start: Instant,
    start_ms: i64,
    sent_records: u64,
    batch_records: u64,
}

/// Runs it and returns the line to print. Whatever an answer or a check had to complain of is in its `errors`.
pub fn run(options: &Options) -> Result<(Value, Result<()>)> {
    let mut control = Control::connect(&options.bootstrap)?;
    let count = control.partition_count(&options.topic)?;
    let partitions: Vec<i32> = (0..count).collect();
    let start_offsets = control.offsets(&options.topic, &partitions, LATEST)?;

    let shape = options
        .produce
        .as_ref()
        .map(|produce| Rc::new(produce_shape(options, produce)));
    let producers = match (&options.produce, &shape) {
        (Some(produce), Some(shape)) => connect_producers(options, produce, shape, count)?,
        _ => Vec::new(),
    };
    let consumers = match &options.consume {
        Some(consume) => connect_consumers(options, consume, &mut control, &partitions)?,
        None => Vec::new(),
    };
    let batch_records = shape.as_ref().map_or(1, |shape| shape.payload.record_count);
    let schedules = match &options.produce {
        Some(ProduceOptions {
            rate: Some(rate), ..
        }) => Schedule::spread(producers.len(), rate / f64::from(batch_records)),
        _ => Vec::new(),
    };

    let from_ns = (options.warmup_seconds * SECOND_NS as f64) as u64;
    let ends_by_itself = options
        .produce
        .as_ref()
        .is_some_and(|produce| produce.records_max.is_some())
        || options
            .consume
            .as_ref()
            .is_some_and(|consume| consume.until_end);
    let length_ns = if ends_by_itself {
        u64::MAX / 2
    } else {
        (options.seconds * SECOND_NS as f64) as u64
    };
    let window = Window {
        from_ns,
        to_ns: from_ns + length_ns,
    };

    let start_ms = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64);
    let mut run = Run {
        options,
        is_writable_wanted: vec![false; producers.len() + consumers.len()],
        times: SendTimes::new(!consumers.is_empty(), batch_records),
        producers,
        schedules,
        consumers,
        report: Report::new(window),
        reactor: Reactor::new()?,
        start: Instant::now(),
        start_ms,
        sent_records: 0,
        batch_records: u64::from(batch_records),
    };
    let cpu = run.drive()?;
    run.verify(&mut control, &partitions, &start_offsets)?;
    run.leave_groups();
    Ok((run.line(&cpu, shape.as_deref()), run.report.result()))
}

fn produce_shape(options: &Options, produce: &ProduceOptions) -> ProduceShape {
    let payload = match produce.batch {
        BatchSize::Records(count) => Payload::of_records(count, produce.record_bytes),
        BatchSize::Bytes(bytes) => Payload::of_batch_bytes(bytes, produce.record_bytes),
    };
    ProduceShape {
        topic: options.topic.clone(),
        payload,
        acks: produce.acks,
        in_flight_max: produce.in_flight_max,
    }
}

fn connect_producers(
    options: &Options,
    produce: &ProduceOptions,
    shape: &Rc<ProduceShape>,
    partition_count: i32,
) -> Result<Vec<Producer>> {
    let mut producers = Vec::new();
    for index in 0..produce.connections {
        let mut control = Control::connect(&options.bootstrap)?;
        let producer = if produce.is_idempotent {
            control.producer_id()?
        } else {
            ProducerId::NONE
        };
        let connection = Connection::new(control.into_socket())?;
        let mine = share(partition_count, index, produce.connections);
        producers.push(Producer::new(connection, Rc::clone(shape), producer, &mine));
    }
    Ok(producers)
}

/// The partitions of one of several connections: each has its own where there are enough, else they share.
fn share(partition_count: i32, index: usize, connections: usize) -> Vec<i32> {
    let count = partition_count as usize;
    if connections >= count {
        return vec![(index % count) as i32];
    }
    (0..partition_count)
        .filter(|partition| *partition as usize % connections == index)
        .collect()
}

fn connect_consumers(
    options: &Options,
    consume: &ConsumeOptions,
    control: &mut Control,
    partitions: &[i32],
) -> Result<Vec<Consumer>> {
    let ends = control.offsets(&options.topic, partitions, LATEST)?;
    let starts = if consume.from_start {
        control.offsets(&options.topic, partitions, EARLIEST)?
    } else {
        ends.clone()
    };
    let shape = FetchShape {
        topic: options.topic.clone(),
        max_bytes: consume.max_bytes,
        partition_max_bytes: consume.partition_max_bytes,
        checks_crc: consume.checks_crc,
        is_endless: consume.from_start && !consume.until_end,
    };
    let mut members = if consume.has_groups {
        join_groups(options, consume.consumers)?
    } else {
        Vec::new()
    };
    let mut consumers = Vec::new();
    for index in 0..consume.consumers {
        let (connection, membership) = match members.pop() {
            Some((control, membership)) => (control.into_socket(), Some(membership)),
            None => (Control::connect(&options.bootstrap)?.into_socket(), None),
        };
        let mine = if consume.has_groups {
            partitions.to_vec()
        } else {
            share(partitions.len() as i32, index, consume.consumers)
        };
        let position = |partition: &i32| {
            let start = starts[*partition as usize];
            let end = consume.from_start.then_some(ends[*partition as usize]);
            Position {
                partition: *partition,
                start,
                next: start,
                end,
            }
        };
        let positions: Vec<Position> = mine.iter().map(position).collect();
        if consume.from_start
            && positions
                .iter()
                .all(|position| position.end == Some(position.start))
        {
            return Err(Failure::new(format!(
                "topic {} has nothing to read",
                options.topic
            )));
        }
        consumers.push(Consumer::new(
            Connection::new(connection)?,
            shape.clone(),
            positions,
            membership,
        ));
    }
    Ok(consumers)
}

/// One group for each consumer. All ask before the first is answered: a broker may hold a first member for seconds.
fn join_groups(options: &Options, count: usize) -> Result<Vec<(Control, Membership)>> {
    let mut waiting = Vec::new();
    for index in 0..count {
        let group_id = format!("{}-{}-{index}", options.topic, std::process::id());
        let mut control = Control::connect(&options.bootstrap)?;
        control.find_coordinator(&group_id)?;
        control.send_join(&group_id)?;
        waiting.push((control, group_id));
    }
    let mut joined = Vec::new();
    for (mut control, group_id) in waiting {
        let membership = loop {
            if let Some(membership) = control.receive_join(&group_id)? {
                break membership;
            }
            std::thread::sleep(Duration::from_millis(50));
            control.send_join(&group_id)?;
        };
        control.sync(&membership)?;
        joined.push((control, membership));
    }
    Ok(joined)
}

impl Run<'_> {
    /// Runs to the end; processor time used within the window.
    fn drive(&mut self) -> Result<Cpu> {
        for key in 0..self.is_writable_wanted.len() {
            self.reactor.watch(&self.connection(key).socket, key)?;
        }
        let mut phase = Phase::Warmup;
        let mut used = self.cpu()?;
        let mut ready: Vec<Ready> = Vec::new();
        self.start = Instant::now();
        for index in 0..self.consumers.len() {
            self.consumers[index].ask(0);
            self.flush(self.producers.len() + index)?;
        }
        // A closed loop goes on by its answers, so that each connection is looked at when it has one.
        for index in 0..self.producers.len() {
            if self.schedules.is_empty() {
                self.fill(index, 0)?;
            }
        }
        loop {
            let now_ns = self.now_ns();
            if phase == Phase::Warmup && now_ns >= self.report.window.from_ns {
                phase = Phase::Measured;
                used = self.cpu()?;
            }
            if phase == Phase::Measured
                && (now_ns >= self.report.window.to_ns || self.is_complete())
            {
                phase = Phase::Drain;
                self.report.window.to_ns = self
                    .report
                    .window
                    .to_ns
                    .min(now_ns.max(self.report.window.from_ns + 1));
                let after = self.cpu()?;
                used = Cpu {
                    own: after.own - used.own,
                    broker: after
                        .broker
                        .zip(used.broker)
                        .map(|(after, before)| after - before),
                };
            }
            if phase == Phase::Drain
                && (self.is_drained() || now_ns >= self.report.window.to_ns + DRAIN_NS)
            {
                return Ok(used);
            }
            let due_ns = self.send_what_is_due(now_ns)?;
            let edge_ns = match phase {
                Phase::Warmup => self.report.window.from_ns,
                Phase::Measured => self.report.window.to_ns.min(now_ns + SECOND_NS),
                Phase::Drain => now_ns + SECOND_NS / 100,
            };
            let deadline = self.start + Duration::from_nanos(edge_ns.min(due_ns));
            ready.clear();
            self.reactor.wait(deadline, &mut ready)?;
            for event in &ready {
                self.serve(*event, phase)?;
            }
        }
    }

    /// Sends what the schedules ask for by now; when the next is due.
    fn send_what_is_due(&mut self, now_ns: u64) -> Result<u64> {
        let mut next_ns = u64::MAX;
        for index in 0..self.schedules.len() {
            let mut has_sent = false;
            while self.schedules[index].next_ns() <= now_ns
                && self.schedules[index].next_ns() < self.report.window.to_ns
                && self.producers[index].may_send()
            {
                let intended_ns = self.schedules[index].take();
                self.send(index, intended_ns);
                has_sent = true;
            }
            if has_sent {
                self.flush(index)?;
            }
            // A producer whose requests are all in flight sends on by their answers.
            if self.producers[index].may_send()
                && self.schedules[index].next_ns() < self.report.window.to_ns
            {
                next_ns = next_ns.min(self.schedules[index].next_ns());
            }
        }
        Ok(next_ns)
    }

    fn serve(&mut self, event: Ready, phase: Phase) -> Result<()> {
        let key = event.key;
        if event.is_writable {
            self.flush(key)?;
        }
        if !event.is_readable {
            return Ok(());
        }
        self.connection_mut(key).receive()?;
        let now_ns = self.now_ns();
        if key < self.producers.len() {
            self.producers[key].take_answers(now_ns, &mut self.report)?;
            if self.schedules.is_empty() && phase < Phase::Drain {
                self.fill(key, now_ns)?;
            }
            return Ok(());
        }
        let consumer = &mut self.consumers[key - self.producers.len()];
        if consumer.take_answers(now_ns, &self.times, &mut self.report)? && !self.is_over(phase) {
            self.consumers[key - self.producers.len()].ask(now_ns);
            self.flush(key)?;
        }
        Ok(())
    }

    /// A reader alone stops with the window. One behind producers goes on until the run ends: what they have in flight
    /// is still to come.
    fn is_over(&self, phase: Phase) -> bool {
        phase == Phase::Drain && self.producers.is_empty()
    }

    /// Sends batches until as many are in flight as may be.
    fn fill(&mut self, index: usize, now_ns: u64) -> Result<()> {
        while self.producers[index].may_send() && !self.has_sent_all() {
            self.send(index, now_ns);
        }
        self.flush(index)
    }

    fn send(&mut self, index: usize, intended_ns: u64) {
        let timestamp_ms = self.start_ms + (intended_ns / 1_000_000) as i64;
        self.producers[index].send(intended_ns, timestamp_ms, &mut self.times);
        self.sent_records += self.batch_records;
    }

    fn has_sent_all(&self) -> bool {
        let limit = self
            .options
            .produce
            .as_ref()
            .and_then(|produce| produce.records_max);
        limit.is_some_and(|limit| self.sent_records >= limit)
    }

    /// Whether a run without a time is through.
    fn is_complete(&self) -> bool {
        let is_produced = self.has_sent_all() && self.producers.iter().all(Producer::is_idle);
        let reads_to_end = self.producers.is_empty() && !self.consumers.is_empty();
        let is_read = reads_to_end
            && self
                .consumers
                .iter()
                .all(|consumer| consumer.is_done() && consumer.is_idle());
        is_produced || is_read
    }

    fn is_drained(&self) -> bool {
        let is_sent = self
            .schedules
            .iter()
            .all(|schedule| schedule.next_ns() >= self.report.window.to_ns);
        let is_answered = self.producers.iter().all(Producer::is_idle);
        if self.producers.is_empty() {
            return self.consumers.iter().all(Consumer::is_idle);
        }
        is_sent && is_answered && (self.consumers.is_empty() || self.has_read_everything())
    }

    /// Whether every consumer has read as many records as were acknowledged.
    fn has_read_everything(&self) -> bool {
        let acknowledged = self.acknowledged();
        self.consumers
            .iter()
            .flat_map(|consumer| &consumer.positions)
            .all(|position| {
                let expected = acknowledged.get(&position.partition).copied().unwrap_or(0);
                position.next - position.start >= expected as i64
            })
    }

    fn acknowledged(&self) -> BTreeMap<i32, u64> {
        let mut acknowledged = BTreeMap::new();
        for (partition, records) in self.producers.iter().flat_map(Producer::acknowledged) {
            *acknowledged.entry(partition).or_default() += records;
        }
        acknowledged
    }

    /// What was acknowledged must be there, all of it and nothing else, and must have been read where somebody reads.
    fn verify(
        &mut self,
        control: &mut Control,
        partitions: &[i32],
        start_offsets: &[i64],
    ) -> Result<()> {
        let unanswered: usize = self.producers.iter().map(Producer::in_flight).sum();
        self.report.expect(unanswered == 0, || {
            format!("{unanswered} batches were never answered")
        });
        let end_offsets = control.offsets(&self.options.topic, partitions, LATEST)?;
        let acknowledged = self.acknowledged();
        for (index, partition) in partitions.iter().enumerate() {
            let there = end_offsets[index] - start_offsets[index];
            let expected = acknowledged.get(partition).copied().unwrap_or(0) as i64;
            // Records whose answer is missing may be there or not.
            self.report.expect(there == expected || unanswered > 0, || {
                format!("partition {partition}: {expected} records acknowledged, {there} there")
            });
        }
        if !self.producers.is_empty() && !self.consumers.is_empty() {
            let is_read = self.has_read_everything();
            self.report.expect(is_read, || {
                "records were acknowledged that a consumer never got".into()
            });
        }
        Ok(())
    }

    fn leave_groups(&mut self) {
        for consumer in &self.consumers {
            let Some(membership) = &consumer.membership else {
                continue;
            };
            // The run is over and its figures are known; a group that stays expires by itself.
            let _ = Control::connect(&self.options.bootstrap)
                .and_then(|mut control| control.leave(membership));
        }
    }

    fn line(&self, cpu: &Cpu, shape: Option<&ProduceShape>) -> Value {
        let mut line = self.report.to_json();
        line.insert("loadCpuSeconds".into(), json!(cpu.own));
        if let Some(broker) = cpu.broker {
            let records = self
                .report
                .acknowledged
                .records
                .max(self.report.fetched.records);
            line.insert("brokerCpuSeconds".into(), json!(broker));
            line.insert(
                "brokerCpuMicrosPerRecord".into(),
                json!(broker * 1e6 / records.max(1) as f64),
            );
        }
        if let (Some(shape), Some(produce)) = (shape, &self.options.produce) {
            line.insert("batchRecords".into(), json!(shape.payload.record_count));
            line.insert("batchBytes".into(), json!(shape.payload.batch_bytes()));
            if let Some(rate) = produce.rate {
                line.insert("offeredPerSecond".into(), json!(rate));
                let late_ns = self
                    .report
                    .last_acknowledged_ns
                    .saturating_sub(self.report.window.to_ns);
                line.insert("drainSeconds".into(), json!(late_ns as f64 / 1e9));
                let unsent: u64 = self
                    .schedules
                    .iter()
                    .map(|schedule| schedule.left_before(self.report.window.to_ns))
                    .sum();
                line.insert("unsentBatches".into(), json!(unsent));
            }
        }
        if let Some(consume) = &self.options.consume {
            line.insert("consumers".into(), json!(consume.consumers));
        }
        Value::Object(line)
    }

    fn cpu(&self) -> Result<Cpu> {
        let broker = self.options.pid.as_deref().map(cpu_seconds).transpose()?;
        Ok(Cpu {
            own: cpu_seconds("self")?,
            broker,
        })
    }

    fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    fn connection(&self, key: usize) -> &Connection {
        let producers = self.producers.len();
        if key < producers {
            &self.producers[key].connection
        } else {
            &self.consumers[key - producers].connection
        }
    }

    fn connection_mut(&mut self, key: usize) -> &mut Connection {
        let producers = self.producers.len();
        if key < producers {
            &mut self.producers[key].connection
        } else {
            &mut self.consumers[key - producers].connection
        }
    }

    fn flush(&mut self, key: usize) -> Result<()> {
        let is_sent = self.connection_mut(key).flush()?;
        if self.is_writable_wanted[key] == is_sent {
            self.is_writable_wanted[key] = !is_sent;
            self.reactor
                .watch_writable(&self.connection(key).socket, key, !is_sent)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_partitions_so_that_each_is_written_to() {
        assert_eq!(share(6, 0, 6), [0]);
        assert_eq!(share(6, 5, 6), [5]);
        assert_eq!(share(1, 63, 64), [0]);
        assert_eq!(share(5, 0, 2), [0, 2, 4]);
        assert_eq!(share(5, 1, 2), [1, 3]);
    }
}
