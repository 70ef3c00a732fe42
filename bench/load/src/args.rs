//! The command line.

use lexopt::{Arg, Parser, ValueExt};

use crate::failure::{Failure, Result};
use crate::run::{BatchSize, ConsumeOptions, Options, ProduceOptions};

pub const USAGE: &str = "\
millrace-load: a load generator for brokers that speak the Kafka protocol

  millrace-load produce     records, as fast as they are acknowledged or at a rate
  millrace-load fetch       records that are there already, from the first to the last and again
  millrace-load end-to-end  both: the time from when a record should be sent until a consumer has it
  millrace-load idle        connections that are silent, until standard input ends
  millrace-load create      the topic
  millrace-load delete      the topic
  millrace-load count       the records of a topic

everywhere   --bootstrap HOST:PORT  --topic NAME
time         --seconds N (10)  --warmup-seconds N (0)  --pid PID (whose processor time is measured)
create       --partitions N (1)  --topic-config NAME=VALUE ...
produce      --connections N (1)  --in-flight N (5)  --acks all|1 (all)  --no-idempotence
             --record-bytes N (100)  --batch-bytes N (65536) or --batch-records N
             --rate RECORDS_A_SECOND (none: closed loop)  --records N (instead of --seconds)
fetch        --consumers N (1)  --groups (one each)  --until-end (once)  --check-crc
             --max-bytes N (52428800)  --partition-max-bytes N (1048576)

One line of JSON is printed. The exit code is 1 when an answer was an error or a record is missing.";

pub enum Command {
    Run(Box<Options>),
    Idle {
        bootstrap: String,
        connections: usize,
    },
    Create {
        bootstrap: String,
        topic: String,
        partitions: i32,
        configs: Vec<(String, String)>,
    },
    Delete {
        bootstrap: String,
        topic: String,
    },
    Count {
        bootstrap: String,
        topic: String,
    },
    Help,
}

struct Flags {
    bootstrap: String,
    topic: String,
    partitions: i32,
    configs: Vec<(String, String)>,
    seconds: f64,
    warmup_seconds: f64,
    pid: Option<String>,
    produce: ProduceOptions,
    consume: ConsumeOptions,
}

impl Default for Flags {
    fn default() -> Self {
        Self {
            bootstrap: "127.0.0.1:9092".into(),
            topic: "load".into(),
            partitions: 1,
            configs: Vec::new(),
            seconds: 10.0,
            warmup_seconds: 0.0,
            pid: None,
            produce: ProduceOptions {
                connections: 1,
                in_flight_max: 5,
                acks: -1,
                is_idempotent: true,
                record_bytes: 100,
                batch: BatchSize::Bytes(65_536),
                rate: None,
                records_max: None,
            },
            consume: ConsumeOptions {
                consumers: 1,
                has_groups: false,
                from_start: false,
                until_end: false,
                max_bytes: 52_428_800,
                partition_max_bytes: 1_048_576,
                checks_crc: false,
            },
        }
    }
}

pub fn parse(mut parser: Parser) -> Result<Command> {
    let mut command = None;
    let mut flags = Flags::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Value(value) if command.is_none() => command = Some(value.string()?),
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            Arg::Long(name) => {
                let name = name.to_owned();
                flags.take(&name, &mut parser)?;
            }
            other => return Err(other.unexpected().into()),
        }
    }
    flags.into_command(command.as_deref().unwrap_or("no command"))
}

impl Flags {
    fn take(&mut self, name: &str, parser: &mut Parser) -> Result<()> {
        match name {
            "bootstrap" => self.bootstrap = parser.value()?.string()?,
            "topic" => self.topic = parser.value()?.string()?,
            "partitions" => self.partitions = parser.value()?.parse()?,
            "topic-config" => self.configs.push(setting(&parser.value()?.string()?)?),
            "seconds" => self.seconds = parser.value()?.parse()?,
            "warmup-seconds" => self.warmup_seconds = parser.value()?.parse()?,
            "pid" => self.pid = Some(parser.value()?.parse::<u32>()?.to_string()),
            "connections" => self.produce.connections = at_least_one(parser.value()?.parse()?)?,
            "in-flight" => self.produce.in_flight_max = at_least_one(parser.value()?.parse()?)?,
            "acks" => self.produce.acks = acks(&parser.value()?.string()?)?,
            "no-idempotence" => self.produce.is_idempotent = false,
            "record-bytes" => self.produce.record_bytes = parser.value()?.parse()?,
            "batch-bytes" => self.produce.batch = BatchSize::Bytes(parser.value()?.parse()?),
            "batch-records" => {
                self.produce.batch = BatchSize::Records(parser.value()?.parse::<u32>()?.max(1))
            }
            "rate" => self.produce.rate = Some(parser.value()?.parse()?),
            "records" => self.produce.records_max = Some(parser.value()?.parse()?),
            "consumers" => self.consume.consumers = at_least_one(parser.value()?.parse()?)?,
            "groups" => self.consume.has_groups = true,
            "until-end" => self.consume.until_end = true,
            "check-crc" => self.consume.checks_crc = true,
            "max-bytes" => self.consume.max_bytes = parser.value()?.parse()?,
            "partition-max-bytes" => self.consume.partition_max_bytes = parser.value()?.parse()?,
            _ => return Err(Failure::new(format!("--{name} is not known"))),
        }
        Ok(())
    }

    fn into_command(mut self, command: &str) -> Result<Command> {
        let Self {
            bootstrap, topic, ..
        } = &self;
        let (bootstrap, topic) = (bootstrap.clone(), topic.clone());
        match command {
            "create" => Ok(Command::Create {
                bootstrap,
                topic,
                partitions: self.partitions,
                configs: self.configs,
            }),
            "delete" => Ok(Command::Delete { bootstrap, topic }),
            "count" => Ok(Command::Count { bootstrap, topic }),
            "idle" => Ok(Command::Idle {
                bootstrap,
                connections: self.produce.connections,
            }),
            "produce" => Ok(self.into_run(true, false)),
            "fetch" => {
                self.consume.from_start = true;
                Ok(self.into_run(false, true))
            }
            "end-to-end" if !self.produce.is_idempotent => Err(Failure::new(
                "end-to-end knows its batches by their sequences: --no-idempotence has none",
            )),
            "end-to-end" => Ok(self.into_run(true, true)),
            other => Err(Failure::new(format!(
                "{other}: produce, fetch, end-to-end, idle, create, delete or count is wanted"
            ))),
        }
    }

    fn into_run(self, produces: bool, consumes: bool) -> Command {
        Command::Run(Box::new(Options {
            bootstrap: self.bootstrap,
            topic: self.topic,
            warmup_seconds: self.warmup_seconds,
            seconds: self.seconds,
            pid: self.pid,
            produce: produces.then_some(self.produce),
            consume: consumes.then_some(self.consume),
        }))
    }
}

fn at_least_one(value: usize) -> Result<usize> {
    if value > 0 {
        Ok(value)
    } else {
        Err(Failure::new("a count of 0 makes no load"))
    }
}

fn acks(text: &str) -> Result<i16> {
    match text {
        "all" | "-1" => Ok(-1),
        "1" => Ok(1),
        // Without an answer there is no latency and no closed loop.
        _ => Err(Failure::new(format!("--acks {text}: all or 1 is wanted"))),
    }
}

fn setting(text: &str) -> Result<(String, String)> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| Failure::new(format!("{text}: name=value is wanted")))?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command> {
        parse(Parser::from_args(line.split_whitespace()))
    }

    fn run(line: &str) -> Options {
        match parsed(line) {
            Ok(Command::Run(options)) => *options,
            _ => panic!("{line} is a run"),
        }
    }

    #[test]
    fn reads_a_closed_and_an_open_loop() {
        let closed =
            run("produce --topic t --connections 64 --in-flight 1 --acks 1 --batch-records 1");
        let produce = closed.produce.unwrap();
        assert!(closed.consume.is_none() && produce.rate.is_none());
        assert_eq!(
            (produce.connections, produce.in_flight_max, produce.acks),
            (64, 1, 1)
        );
        assert_eq!(produce.batch, BatchSize::Records(1));
        let open = run("end-to-end --rate 50000 --groups --consumers 3");
        assert_eq!(open.produce.unwrap().rate, Some(50_000.0));
        let consume = open.consume.unwrap();
        assert!(consume.has_groups && !consume.from_start && consume.consumers == 3);
        assert!(run("fetch --until-end").consume.unwrap().from_start);
    }

    #[test]
    fn refuses_what_makes_no_run() {
        for line in [
            "",
            "dance",
            "produce --rates 5",
            "produce --acks 0",
            "produce --connections 0",
            "produce x",
        ] {
            assert!(parsed(line).is_err(), "{line:?}");
        }
        assert!(parsed("end-to-end --no-idempotence").is_err());
        assert!(parsed("create --topic-config retention").is_err());
    }
}
