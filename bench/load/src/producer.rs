//! A connection that produces: which batch is next, what is in flight, and what the answers say.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::batch::{Payload, ProducerId, next_sequence};
use crate::connection::Connection;
use crate::error_codes::error_name;
use crate::failure::{Failure, Result};
use crate::report::Report;
use crate::send_times::SendTimes;
use crate::wire::{Reader, Request};

const PRODUCE: (i16, i16) = (0, 9);
const TIMEOUT_MS: i32 = 30_000;
/// The correlation id lies behind size, API key and version.
const CORRELATION_AT: usize = 8;

/// What all producers of a run have in common.
pub struct ProduceShape {
    pub topic: String,
    pub payload: Payload,
    pub acks: i16,
    pub in_flight_max: usize,
}

/// A partition that this connection writes to.
struct Lane {
    partition: i32,
    /// The request up to the records, and where its batch header begins.
    head: Vec<u8>,
    batch_at: usize,
    sequence: i32,
    acknowledged_records: u64,
}

struct Sent {
    correlation_id: i32,
    lane: usize,
    intended_ns: u64,
}

pub struct Producer {
    pub connection: Connection,
    shape: Rc<ProduceShape>,
    producer: ProducerId,
    lanes: Vec<Lane>,
    next_lane: usize,
    next_correlation_id: i32,
    in_flight: VecDeque<Sent>,
}

impl Producer {
    pub fn new(
        connection: Connection,
        shape: Rc<ProduceShape>,
        producer: ProducerId,
        partitions: &[i32],
    ) -> Self {
        let lane = |partition: &i32| {
            let (head, batch_at) = head_of_request(&shape, producer, *partition);
            Lane {
                partition: *partition,
                head,
                batch_at,
                sequence: 0,
                acknowledged_records: 0,
            }
        };
        let lanes = partitions.iter().map(lane).collect();
        Self {
            connection,
            shape,
            producer,
            lanes,
            next_lane: 0,
            next_correlation_id: 0,
            in_flight: VecDeque::new(),
        }
    }

    pub fn may_send(&self) -> bool {
        self.in_flight.len() < self.shape.in_flight_max
    }

    pub fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Records that were acknowledged, by partition.
    pub fn acknowledged(&self) -> impl Iterator<Item = (i32, u64)> + '_ {
        self.lanes
            .iter()
            .map(|lane| (lane.partition, lane.acknowledged_records))
    }

    /// Queues the next batch, for the partition whose turn it is. `intended_ns` is when it should have gone out.
    pub fn send(&mut self, intended_ns: u64, timestamp_ms: i64, times: &mut SendTimes) {
        let payload = &self.shape.payload;
        let lane = &mut self.lanes[self.next_lane];
        let correlation_id = self.next_correlation_id;
        lane.head[CORRELATION_AT..CORRELATION_AT + 4]
            .copy_from_slice(&correlation_id.to_be_bytes());
        let base_sequence = if self.producer == ProducerId::NONE {
            -1
        } else {
            lane.sequence
        };
        payload.stamp(&mut lane.head[lane.batch_at..], base_sequence, timestamp_ms);
        times.note(self.producer.id, lane.partition, lane.sequence, intended_ns);
        lane.sequence = next_sequence(lane.sequence, payload.record_count);

        self.connection.push(&lane.head, Some(&payload.bytes));
        self.in_flight.push_back(Sent {
            correlation_id,
            lane: self.next_lane,
            intended_ns,
        });
        self.next_correlation_id = correlation_id.wrapping_add(1);
        self.next_lane = (self.next_lane + 1) % self.lanes.len();
    }

    /// Takes every answer that is whole; returns how many there were.
    pub fn take_answers(&mut self, now_ns: u64, report: &mut Report) -> Result<usize> {
        let mut count = 0;
        while let Some(frame) = self.connection.next_frame()? {
            let sent = self
                .in_flight
                .pop_front()
                .ok_or_else(|| Failure::new("an answer that nothing asked for"))?;
            let code = error_in_answer(frame, sent.correlation_id)?;
            if code == 0 {
                let records = u64::from(self.shape.payload.record_count);
                self.lanes[sent.lane].acknowledged_records += records;
                report.acknowledged(
                    sent.intended_ns,
                    now_ns,
                    records,
                    self.shape.payload.batch_bytes(),
                );
            } else {
                report.error(&format!("produce: {}", error_name(code)));
            }
            count += 1;
        }
        Ok(count)
    }
}

fn head_of_request(shape: &ProduceShape, producer: ProducerId, partition: i32) -> (Vec<u8>, usize) {
    let mut request = Request::new(PRODUCE.0, PRODUCE.1, 0, true);
    request.null_string().i16(shape.acks).i32(TIMEOUT_MS);
    request
        .count(1)
        .string(&shape.topic)
        .count(1)
        .i32(partition)
        .byte_count(shape.payload.batch_bytes());
    let batch_at = request.len();
    request.raw(&shape.payload.header(producer));
    (request.finish(shape.payload.bytes.len()), batch_at)
}

/// The error code of the one partition that was asked for.
fn error_in_answer(frame: &[u8], expected_correlation_id: i32) -> Result<i16> {
    let (correlation_id, mut answer) = Reader::of_response(frame, true)?;
    if correlation_id != expected_correlation_id {
        return Err(Failure::new(format!(
            "answer {correlation_id} came when {expected_correlation_id} was due"
        )));
    }
    if answer.count()? != 1 {
        return Err(Failure::new("a Produce answer has not one topic"));
    }
    answer.string()?;
    if answer.count()? != 1 {
        return Err(Failure::new("a Produce answer has not one partition"));
    }
    answer.i32()?;
    answer.i16()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_a_request_whose_size_and_parts_add_up() {
        let payload = Payload::of_records(3, 10);
        let shape = ProduceShape {
            topic: "t".into(),
            payload,
            acks: -1,
            in_flight_max: 5,
        };
        let (head, batch_at) = head_of_request(&shape, ProducerId { id: 9, epoch: 0 }, 4);
        let size = u32::from_be_bytes(head[..4].try_into().unwrap()) as usize;
        assert_eq!(size + 4, head.len() + shape.payload.bytes.len());
        // API key 0, version 9, correlation id, client id, no tags; no transactional id, all replicas, 30 seconds.
        assert_eq!(head[4..14], [0, 0, 0, 9, 0, 0, 0, 0, 0, 13]);
        assert_eq!(head[27..35], [0, 0, 0xff, 0xff, 0, 0, 0x75, 0x30]);
        // One topic "t" with one partition, 4, and the size of the batch.
        let batch_bytes = shape.payload.batch_bytes() as u8;
        assert_eq!(
            head[35..batch_at],
            [2, 2, b't', 2, 0, 0, 0, 4, batch_bytes + 1]
        );
        assert_eq!(head.len(), batch_at + crate::batch::HEADER_BYTES);
        assert_eq!(
            shape.payload.bytes[shape.payload.bytes.len() - 3..],
            [0, 0, 0]
        );
    }

    #[test]
    fn reads_the_error_of_an_answer() {
        let answer = |code: u8| {
            [
                0, 0, 0, 7, 0, 2, 2, b't', 2, 0, 0, 0, 4, 0, code, 0, 0, 0, 0, 0, 0, 0, 0,
            ]
        };
        assert_eq!(error_in_answer(&answer(0), 7).unwrap(), 0);
        assert_eq!(error_in_answer(&answer(45), 7).unwrap(), 45);
        assert!(error_in_answer(&answer(0), 8).is_err());
    }
}
