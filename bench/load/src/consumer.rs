//! A connection that fetches, one request at a time as clients do, and that may commit what it has read.

use std::collections::VecDeque;

use crate::batch::first_batch;
use crate::connection::Connection;
use crate::control::Membership;
use crate::error_codes::error_name;
use crate::failure::{Failure, Result};
use crate::report::Report;
use crate::send_times::SendTimes;
use crate::wire::{Reader, Request};

const FETCH: (i16, i16) = (1, 12);
const OFFSET_COMMIT: (i16, i16) = (8, 6);
const MAX_WAIT_MS: i32 = 500;

/// What all consumers of a run have in common.
#[derive(Clone, Debug)]
pub struct FetchShape {
    pub topic: String,
    /// For the whole answer and for each partition in it.
    pub max_bytes: i32,
    pub partition_max_bytes: i32,
    pub checks_crc: bool,
    /// Starts again where it began when it has read everything.
    pub is_endless: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct Position {
    pub partition: i32,
    pub start: i64,
    pub next: i64,
    /// Where a reader that is not at the tail is done.
    pub end: Option<i64>,
}

impl Position {
    fn is_done(&self) -> bool {
        self.end.is_some_and(|end| self.next >= end)
    }
}

#[derive(Clone, Copy)]
enum Asked {
    Fetch { at_ns: u64 },
    Commit { at_ns: u64 },
}

pub struct Consumer {
    pub connection: Connection,
    /// In the order of their partitions.
    pub positions: Vec<Position>,
    pub membership: Option<Membership>,
    shape: FetchShape,
    asked: VecDeque<(i32, Asked)>,
    next_correlation_id: i32,
    /// The partition that is named first: a full answer may leave out those at the end.
    first: usize,
    has_news: bool,
}

impl Consumer {
    pub fn new(
        connection: Connection,
        shape: FetchShape,
        positions: Vec<Position>,
        membership: Option<Membership>,
    ) -> Self {
        Self {
            connection,
            positions,
            membership,
            shape,
            asked: VecDeque::new(),
            next_correlation_id: 0,
            first: 0,
            has_news: false,
        }
    }

    /// Whether it has read everything there was; one at the tail never has.
    pub fn is_done(&self) -> bool {
        self.positions.iter().all(Position::is_done)
    }

    pub fn is_idle(&self) -> bool {
        self.asked.is_empty()
    }

    /// Queues a commit of what the last answer brought, and the next fetch.
    pub fn ask(&mut self, now_ns: u64) {
        if self.shape.is_endless && self.is_done() {
            for position in &mut self.positions {
                position.next = position.start;
            }
        }
        if self.has_news
            && let Some(commit) = self.commit_request()
        {
            self.push(commit, Asked::Commit { at_ns: now_ns });
        }
        self.has_news = false;
        if !self.is_done() {
            let fetch = self.fetch_request();
            self.push(fetch, Asked::Fetch { at_ns: now_ns });
        }
    }

    fn push(&mut self, request: Request, asked: Asked) {
        self.asked.push_back((self.next_correlation_id, asked));
        self.next_correlation_id = self.next_correlation_id.wrapping_add(1);
        self.connection.push(&request.finish(0), None);
    }

    fn fetch_request(&mut self) -> Request {
        const NO_SESSION: (i32, i32) = (0, -1);
        let mut request = Request::new(FETCH.0, FETCH.1, self.next_correlation_id, true);
        request
            .i32(-1)
            .i32(MAX_WAIT_MS)
            .i32(1)
            .i32(self.shape.max_bytes)
            .i8(0)
            .i32(NO_SESSION.0)
            .i32(NO_SESSION.1);
        let open = self
            .positions
            .iter()
            .filter(|position| !position.is_done())
            .count();
        request.count(1).string(&self.shape.topic).count(open);
        let (later, earlier) = self.positions.split_at(self.first);
        for position in earlier
            .iter()
            .chain(later)
            .filter(|position| !position.is_done())
        {
            request
                .i32(position.partition)
                .i32(-1)
                .i64(position.next)
                .i32(-1)
                .i64(-1);
            request.i32(self.shape.partition_max_bytes).no_tags();
        }
        request.no_tags().count(0).string("").no_tags();
        self.first = (self.first + 1) % self.positions.len();
        request
    }

    fn commit_request(&self) -> Option<Request> {
        let member = self.membership.as_ref()?;
        let mut request = Request::new(
            OFFSET_COMMIT.0,
            OFFSET_COMMIT.1,
            self.next_correlation_id,
            false,
        );
        request
            .string(&member.group_id)
            .i32(member.generation)
            .string(&member.member_id);
        request
            .count(1)
            .string(&self.shape.topic)
            .count(self.positions.len());
        for position in &self.positions {
            request
                .i32(position.partition)
                .i64(position.next)
                .i32(-1)
                .string("");
        }
        Some(request)
    }

    /// Takes every answer that is whole; true when a fetch was answered, so that the next one is due.
    pub fn take_answers(
        &mut self,
        now_ns: u64,
        times: &SendTimes,
        report: &mut Report,
    ) -> Result<bool> {
        let mut is_fetched = false;
        while let Some(frame) = self.connection.next_frame()? {
            let (expected, asked) = self
                .asked
                .pop_front()
                .ok_or_else(|| Failure::new("an answer that nothing asked for"))?;
            match asked {
                Asked::Fetch { at_ns } => {
                    is_fetched = true;
                    let (correlation_id, answer) = Reader::of_response(frame, true)?;
                    expect_correlation(correlation_id, expected)?;
                    let mut sink = Sink {
                        positions: &mut self.positions,
                        shape: &self.shape,
                        now_ns,
                        times,
                        report,
                    };
                    let (records, bytes) = sink.take(answer)?;
                    self.has_news |= records > 0;
                    report.fetched(at_ns, now_ns, records, bytes);
                }
                Asked::Commit { at_ns } => {
                    let (correlation_id, answer) = Reader::of_response(frame, false)?;
                    expect_correlation(correlation_id, expected)?;
                    take_commit(answer, report)?;
                    report.committed(at_ns, now_ns);
                }
            }
        }
        Ok(is_fetched)
    }
}

fn expect_correlation(correlation_id: i32, expected: i32) -> Result<()> {
    if correlation_id == expected {
        return Ok(());
    }
    Err(Failure::new(format!(
        "answer {correlation_id} came when {expected} was due"
    )))
}

/// What happens to an answer while it is read.
struct Sink<'a> {
    positions: &'a mut [Position],
    shape: &'a FetchShape,
    now_ns: u64,
    times: &'a SendTimes,
    report: &'a mut Report,
}

impl Sink<'_> {
    /// The number of records and bytes.
    fn take(&mut self, mut answer: Reader<'_>) -> Result<(u64, usize)> {
        answer.i32()?;
        let code = answer.i16()?;
        if code != 0 {
            self.report.error(&format!("fetch: {}", error_name(code)));
        }
        answer.i32()?;
        let (mut records, mut bytes) = (0, 0);
        for _ in 0..answer.count()? {
            answer.string()?;
            for _ in 0..answer.count()? {
                let partition = answer.i32()?;
                let code = answer.i16()?;
                for _ in 0..3 {
                    answer.i64()?;
                }
                for _ in 0..answer.count()? {
                    answer.raw(16)?;
                    answer.tags()?;
                }
                answer.i32()?;
                let batches = answer.bytes()?;
                answer.tags()?;
                if code != 0 {
                    self.report.error(&format!("fetch: {}", error_name(code)));
                    continue;
                }
                records += self.take_batches(partition, batches)?;
                bytes += batches.len();
            }
            answer.tags()?;
        }
        Ok((records, bytes))
    }

    fn take_batches(&mut self, partition: i32, mut batches: &[u8]) -> Result<u64> {
        let unasked = || {
            Failure::new(format!(
                "an answer for partition {partition}, which was not asked for"
            ))
        };
        let index = self
            .positions
            .binary_search_by_key(&partition, |position| position.partition);
        let position = &mut self.positions[index.map_err(|_| unasked())?];
        let mut records = 0;
        while let Some(batch) = first_batch(batches, self.shape.checks_crc)? {
            if batch.base_offset > position.next || batch.last_offset < position.next {
                let (from, to, next) = (batch.base_offset, batch.last_offset, position.next);
                return Err(Failure::new(format!(
                    "offsets {from} to {to} came for offset {next}"
                )));
            }
            let skipped = position.next - batch.base_offset;
            records += u64::from(batch.record_count) - skipped as u64;
            position.next = batch.last_offset + 1;
            if let Some(intended_ns) =
                self.times
                    .of(batch.producer_id, partition, batch.base_sequence)
            {
                self.report.seen(intended_ns, self.now_ns);
            }
            batches = &batches[batch.bytes..];
        }
        Ok(records)
    }
}

fn take_commit(mut answer: Reader<'_>, report: &mut Report) -> Result<()> {
    answer.i32()?;
    for _ in 0..answer.count()? {
        answer.string()?;
        for _ in 0..answer.count()? {
            answer.i32()?;
            let code = answer.i16()?;
            if code != 0 {
                report.error(&format!("commit: {}", error_name(code)));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Payload, ProducerId};
    use crate::report::Window;
    use crate::wire::push_unsigned_varint;

    fn shape() -> FetchShape {
        FetchShape {
            topic: "t".into(),
            max_bytes: 1 << 20,
            partition_max_bytes: 1 << 20,
            checks_crc: true,
            is_endless: false,
        }
    }

    fn batches(from: i64, count: usize) -> Vec<u8> {
        let payload = Payload::of_records(2, 10);
        let mut bytes = Vec::new();
        for index in 0..count {
            let mut header = payload.header(ProducerId { id: 1, epoch: 0 });
            payload.stamp(&mut header, index as i32 * 2, 0);
            header[..8].copy_from_slice(&(from + index as i64 * 2).to_be_bytes());
            bytes.extend_from_slice(&header);
            bytes.extend_from_slice(&payload.bytes[..payload.bytes.len() - 3]);
        }
        bytes
    }

    fn answer(partition_error: u8, records: &[u8]) -> Vec<u8> {
        // Correlation id, tags, throttle time, error, session, one topic "t" with partition 0, its error, three offsets,
        // no aborted transactions, no preferred replica.
        let mut frame = vec![
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            2,
            2,
            b't',
            2,
            0,
            0,
            0,
            0,
            0,
            partition_error,
        ];
        frame.extend_from_slice(&[0; 24]);
        frame.push(0);
        frame.extend_from_slice(&[0xff; 4]);
        push_unsigned_varint(&mut frame, records.len() as u64 + 1);
        frame.extend_from_slice(records);
        frame.extend_from_slice(&[0, 0, 0]);
        frame
    }

    fn take(next: i64, frame: &[u8]) -> (Result<(u64, usize)>, i64, Report) {
        let mut positions = [Position {
            partition: 0,
            start: 0,
            next,
            end: None,
        }];
        let mut times = SendTimes::new(true, 2);
        times.note(1, 0, 2, 40);
        let mut report = Report::new(Window {
            from_ns: 0,
            to_ns: u64::MAX,
        });
        let (_, reader) = Reader::of_response(frame, true).unwrap();
        let shape = shape();
        let mut sink = Sink {
            positions: &mut positions,
            shape: &shape,
            now_ns: 100,
            times: &times,
            report: &mut report,
        };
        let result = sink.take(reader);
        (result, positions[0].next, report)
    }

    #[test]
    fn counts_records_and_moves_on_over_whole_batches_only() {
        let mut bytes = batches(10, 3);
        bytes.truncate(bytes.len() - 1);
        let (result, next, report) = take(10, &answer(0, &bytes));
        assert_eq!(result.unwrap(), (4, bytes.len()));
        assert_eq!(next, 14);
        assert_eq!(report.end_to_end.len(), 1);
    }

    #[test]
    fn counts_only_what_is_new_in_a_batch_that_starts_before_the_offset() {
        let (result, next, _) = take(11, &answer(0, &batches(10, 1)));
        assert_eq!((result.unwrap().0, next), (1, 12));
    }

    #[test]
    fn fails_where_offsets_are_missing_or_come_twice() {
        assert!(take(9, &answer(0, &batches(10, 1))).0.is_err());
        assert!(take(12, &answer(0, &batches(10, 1))).0.is_err());
    }

    #[test]
    fn counts_an_error_answer() {
        let (result, next, report) = take(10, &answer(1, &[]));
        assert_eq!((result.unwrap().0, next), (0, 10));
        assert_eq!(report.errors["fetch: OFFSET_OUT_OF_RANGE"], 1);
    }
}
