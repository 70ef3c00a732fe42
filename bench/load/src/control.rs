//! What happens before and after a run: topics, offsets, producer ids, groups. One request at a time, and blocking.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::batch::ProducerId;
use crate::error_codes::{TOPIC_ALREADY_EXISTS, error_name, is_transient};
use crate::failure::{Failure, Result};
use crate::wire::{Reader, Request};

const LIST_OFFSETS: (i16, i16) = (2, 4);
const METADATA: (i16, i16) = (3, 4);

const FIND_COORDINATOR: (i16, i16) = (10, 2);
const JOIN_GROUP: (i16, i16) = (11, 3);
const LEAVE_GROUP: (i16, i16) = (13, 1);
const SYNC_GROUP: (i16, i16) = (14, 2);
const CREATE_TOPICS: (i16, i16) = (19, 4);
const DELETE_TOPICS: (i16, i16) = (20, 3);
const INIT_PRODUCER_ID: (i16, i16) = (22, 1);

/// How long a broker may take until a request that it refuses for the moment succeeds.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);
const REQUEST_TIMEOUT_MS: i32 = 30_000;
/// Longer than a run, so that a member need not send heartbeats.
const SESSION_TIMEOUT_MS: i32 = 1_800_000;
const READ_TIMEOUT: Duration = Duration::from_secs(60);

pub const EARLIEST: i64 = -2;
pub const LATEST: i64 = -1;

pub struct Control {
    socket: TcpStream,
    correlation_id: i32,
}

/// A member of a group, as a commit names it.
#[derive(Clone, Debug)]
pub struct Membership {
    pub group_id: String,
    pub member_id: String,
    pub generation: i32,
}

impl Control {
    pub fn connect(bootstrap: &str) -> Result<Self> {
        let socket = TcpStream::connect(bootstrap)
            .map_err(|cause| Failure::new(format!("{bootstrap}: {cause}")))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(READ_TIMEOUT))?;
        Ok(Self {
            socket,
            correlation_id: 0,
        })
    }

    pub fn into_socket(self) -> TcpStream {
        self.socket
    }

    /// Creates the topic where there is none, and waits until every partition can be read and written.
    pub fn create_topic(
        &mut self,
        topic: &str,
        partitions: i32,
        configs: &[(String, String)],
    ) -> Result<()> {
        self.until_done("create the topic", |control| {
            let mut request = control.begin(CREATE_TOPICS);
            request
                .count(1)
                .string(topic)
                .i32(partitions)
                .i16(1)
                .count(0)
                .count(configs.len());
            for (name, value) in configs {
                request.string(name).string(value);
            }
            request.i32(REQUEST_TIMEOUT_MS).bool(false);
            let frame = control.ask(request)?;
            let (_, mut answer) = Reader::of_response(&frame, false)?;
            answer.i32()?;
            answer.count()?;
            answer.string()?;
            match answer.i16()? {
                TOPIC_ALREADY_EXISTS => Ok(0),
                code => Ok(code),
            }
        })?;
        let partitions: Vec<i32> = (0..partitions).collect();
        self.until_done("find leaders", |control| {
            control.leaders(topic, partitions.len())
        })?;
        self.offsets(topic, &partitions, LATEST).map(|_| ())
    }

    /// Deletes it; a topic that is not there is as good as deleted.
    pub fn delete_topic(&mut self, topic: &str) -> Result<()> {
        let mut request = self.begin(DELETE_TOPICS);
        request.count(1).string(topic).i32(REQUEST_TIMEOUT_MS);
        let frame = self.ask(request)?;
        let (_, mut answer) = Reader::of_response(&frame, false)?;
        answer.i32()?;
        answer.count()?;
        answer.string()?;
        match answer.i16()? {
            0 | 3 => Ok(()),
            code => Err(Failure::new(format!(
                "delete the topic: {}",
                error_name(code)
            ))),
        }
    }

    /// The error of the first partition without a leader; fewer partitions than expected are one, too.
    fn leaders(&mut self, topic: &str, expected: usize) -> Result<i16> {
        let mut request = self.begin(METADATA);
        request.count(1).string(topic).bool(false);
        let frame = self.ask(request)?;
        let mut answer = after_brokers(&frame)?;
        answer.count()?;
        let topic_error = answer.i16()?;
        answer.string()?;
        answer.bool()?;
        let count = answer.count()?;
        let mut first_error = topic_error;
        for _ in 0..count {
            let partition_error = answer.i16()?;
            answer.i32()?;
            answer.i32()?;
            for _ in 0..2 {
                for _ in 0..answer.count()? {
                    answer.i32()?;
                }
            }
            if first_error == 0 {
                first_error = partition_error;
            }
        }
        const LEADER_NOT_AVAILABLE: i16 = 5;
        Ok(if first_error == 0 && count < expected {
            LEADER_NOT_AVAILABLE
        } else {
            first_error
        })
    }

    /// How many partitions the topic has.
    pub fn partition_count(&mut self, topic: &str) -> Result<i32> {
        let mut request = self.begin(METADATA);
        request.count(1).string(topic).bool(false);
        let frame = self.ask(request)?;
        let mut answer = after_brokers(&frame)?;
        answer.count()?;
        let code = answer.i16()?;
        answer.string()?;
        answer.bool()?;
        let count = answer.count()?;
        if code == 0 {
            Ok(count as i32)
        } else {
            Err(Failure::new(format!("topic {topic}: {}", error_name(code))))
        }
    }

    /// How many offsets lie between the first and the last, over all partitions.
    pub fn record_count(&mut self, topic: &str) -> Result<i64> {
        let partitions: Vec<i32> = (0..self.partition_count(topic)?).collect();
        let ends = self.offsets(topic, &partitions, LATEST)?;
        let starts = self.offsets(topic, &partitions, EARLIEST)?;
        Ok(ends.iter().sum::<i64>() - starts.iter().sum::<i64>())
    }

    /// Asks for nothing but an answer.
    pub fn ping(&mut self) -> Result<()> {
        let mut request = self.begin(METADATA);
        request.count(0).bool(false);
        let frame = self.ask(request)?;
        after_brokers(&frame).map(|_| ())
    }

    /// The earliest or latest offset of each partition, in the order of the question.
    pub fn offsets(&mut self, topic: &str, partitions: &[i32], timestamp: i64) -> Result<Vec<i64>> {
        let mut offsets = Vec::new();
        self.until_done("list offsets", |control| {
            let mut request = control.begin(LIST_OFFSETS);
            request
                .i32(-1)
                .i8(0)
                .count(1)
                .string(topic)
                .count(partitions.len());
            for partition in partitions {
                request.i32(*partition).i32(-1).i64(timestamp);
            }
            let frame = control.ask(request)?;
            let (_, mut answer) = Reader::of_response(&frame, false)?;
            answer.i32()?;
            answer.count()?;
            answer.string()?;
            offsets = vec![0; partitions.len()];
            for _ in 0..answer.count()? {
                let partition = answer.i32()?;
                let code = answer.i16()?;
                answer.i64()?;
                let offset = answer.i64()?;
                answer.i32()?;
                if code != 0 {
                    return Ok(code);
                }
                // A broker may answer in another order than it was asked in.
                if let Some(index) = partitions.iter().position(|asked| *asked == partition) {
                    offsets[index] = offset;
                }
            }
            Ok(0)
        })?;
        Ok(offsets)
    }

    pub fn producer_id(&mut self) -> Result<ProducerId> {
        let mut producer = ProducerId::NONE;
        self.until_done("get a producer id", |control| {
            let mut request = control.begin(INIT_PRODUCER_ID);
            request.null_string().i32(REQUEST_TIMEOUT_MS);
            let frame = control.ask(request)?;
            let (_, mut answer) = Reader::of_response(&frame, false)?;
            answer.i32()?;
            let code = answer.i16()?;
            producer = ProducerId {
                id: answer.i64()?,
                epoch: answer.i16()?,
            };
            Ok(code)
        })?;
        Ok(producer)
    }

    pub fn find_coordinator(&mut self, group_id: &str) -> Result<()> {
        self.until_done("find the coordinator", |control| {
            let mut request = control.begin(FIND_COORDINATOR);
            request.string(group_id).i8(0);
            let frame = control.ask(request)?;
            let (_, mut answer) = Reader::of_response(&frame, false)?;
            answer.i32()?;
            answer.i16()
        })
    }

    /// Asks to join; the answer may take as long as the broker waits for more members.
    pub fn send_join(&mut self, group_id: &str) -> Result<()> {
        let mut request = self.begin(JOIN_GROUP);
        request
            .string(group_id)
            .i32(SESSION_TIMEOUT_MS)
            .i32(60_000)
            .string("")
            .string("consumer");
        // One protocol without metadata: nobody but this member reads it.
        request.count(1).string("range").byte_count(0);
        self.send(request)
    }

    /// The answer to `send_join`; None when it is to be asked again.
    pub fn receive_join(&mut self, group_id: &str) -> Result<Option<Membership>> {
        let frame = self.receive()?;
        let (_, mut answer) = Reader::of_response(&frame, false)?;
        answer.i32()?;
        let code = answer.i16()?;
        if is_transient(code) {
            return Ok(None);
        }
        if code != 0 {
            return Err(Failure::new(format!(
                "join {group_id}: {}",
                error_name(code)
            )));
        }
        let generation = answer.i32()?;
        answer.string()?;
        answer.string()?;
        Ok(Some(Membership {
            group_id: group_id.to_owned(),
            member_id: answer.string()?,
            generation,
        }))
    }

    /// Makes the group of this one member stable.
    pub fn sync(&mut self, member: &Membership) -> Result<()> {
        let mut request = self.begin(SYNC_GROUP);
        request
            .string(&member.group_id)
            .i32(member.generation)
            .string(&member.member_id);
        request.count(1).string(&member.member_id).byte_count(0);
        let frame = self.ask(request)?;
        let (_, mut answer) = Reader::of_response(&frame, false)?;
        answer.i32()?;
        match answer.i16()? {
            0 => Ok(()),
            code => Err(Failure::new(format!(
                "sync {}: {}",
                member.group_id,
                error_name(code)
            ))),
        }
    }

    pub fn leave(&mut self, member: &Membership) -> Result<()> {
        let mut request = self.begin(LEAVE_GROUP);
        request.string(&member.group_id).string(&member.member_id);
        self.ask(request).map(|_| ())
    }

    fn until_done(
        &mut self,
        what: &str,
        mut attempt: impl FnMut(&mut Self) -> Result<i16>,
    ) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let code = attempt(self)?;
            if code == 0 {
                return Ok(());
            }
            if !is_transient(code) || Instant::now() > deadline {
                return Err(Failure::new(format!("{what}: {}", error_name(code))));
            }
            thread::sleep(PAUSE);
        }
    }

    fn begin(&mut self, (api_key, version): (i16, i16)) -> Request {
        self.correlation_id += 1;
        Request::new(api_key, version, self.correlation_id, false)
    }

    fn send(&mut self, request: Request) -> Result<()> {
        Ok(self.socket.write_all(&request.finish(0))?)
    }

    fn receive(&mut self) -> Result<Vec<u8>> {
        let mut size = [0; 4];
        self.socket.read_exact(&mut size)?;
        let mut frame = vec![0; u32::from_be_bytes(size) as usize];
        self.socket.read_exact(&mut frame)?;
        Ok(frame)
    }

    fn ask(&mut self, request: Request) -> Result<Vec<u8>> {
        self.send(request)?;
        let frame = self.receive()?;
        let (correlation_id, _) = Reader::of_response(&frame, false)?;
        if correlation_id != self.correlation_id {
            return Err(Failure::new(format!(
                "answer {correlation_id} to question {}",
                self.correlation_id
            )));
        }
        Ok(frame)
    }
}

/// A reader at the topics of a Metadata response.
fn after_brokers(frame: &[u8]) -> Result<Reader<'_>> {
    let (_, mut answer) = Reader::of_response(frame, false)?;
    answer.i32()?;
    let brokers = answer.count()?;
    if brokers == 0 {
        return Err(Failure::new("the broker knows of no broker"));
    }
    for _ in 0..brokers {
        answer.i32()?;
        answer.string()?;
        answer.i32()?;
        answer.string()?;
    }
    answer.string()?;
    answer.i32()?;
    Ok(answer)
}
