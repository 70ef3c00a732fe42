//! What was seen in the measured part of a run, and how it is printed.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use crate::failure::{Failure, Result};

const SLOWEST_NS: u64 = 300_000_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;

/// The measured part of a run, from its start on.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub from_ns: u64,
    pub to_ns: u64,
}

impl Window {
    fn holds(self, at_ns: u64) -> bool {
        (self.from_ns..self.to_ns).contains(&at_ns)
    }
}

pub struct Report {
    pub window: Window,
    pub ack: Histogram<u64>,
    pub end_to_end: Histogram<u64>,
    pub fetch: Histogram<u64>,
    pub commit: Histogram<u64>,
    pub errors: BTreeMap<String, u64>,
    /// What came within the window.
    pub acknowledged: Count,
    pub fetched: Count,
    pub fetched_in_all: u64,
    pub last_acknowledged_ns: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    pub requests: u64,
    pub records: u64,
    pub bytes: u64,
}

impl Count {
    fn add(&mut self, records: u64, bytes: usize) {
        self.requests += 1;
        self.records += records;
        self.bytes += bytes as u64;
    }

    fn to_json(self, seconds: f64) -> Value {
        let a_second = |count: u64| count as f64 / seconds;
        json!({
            "requests": self.requests,
            "records": self.records,
            "requestsPerSecond": a_second(self.requests),
            "recordsPerSecond": a_second(self.records),
            "megabytesPerSecond": a_second(self.bytes) / 1e6,
        })
    }
}

impl Report {
    pub fn new(window: Window) -> Self {
        let histogram = || {
            Histogram::new_with_max(SLOWEST_NS, SIGNIFICANT_DIGITS)
                .expect("the bounds are those of a histogram")
        };
        Self {
            window,
            ack: histogram(),
            end_to_end: histogram(),
            fetch: histogram(),
            commit: histogram(),
            errors: BTreeMap::new(),
            acknowledged: Count::default(),
            fetched: Count::default(),
            fetched_in_all: 0,
            last_acknowledged_ns: 0,
        }
    }

    /// The latency counts from when the batch should have gone out: a sender that is held up measures the hold-up.
    pub fn acknowledged(&mut self, intended_ns: u64, now_ns: u64, records: u64, bytes: usize) {
        if self.window.holds(intended_ns) {
            self.ack.saturating_record(now_ns - intended_ns);
        }
        if self.window.holds(now_ns) {
            self.acknowledged.add(records, bytes);
        }
        self.last_acknowledged_ns = now_ns;
    }

    pub fn seen(&mut self, intended_ns: u64, now_ns: u64) {
        if self.window.holds(intended_ns) {
            self.end_to_end
                .saturating_record(now_ns.saturating_sub(intended_ns));
        }
    }

    pub fn fetched(&mut self, asked_ns: u64, now_ns: u64, records: u64, bytes: usize) {
        self.fetched_in_all += records;
        if self.window.holds(now_ns) {
            self.fetch.saturating_record(now_ns - asked_ns);
            self.fetched.add(records, bytes);
        }
    }

    pub fn committed(&mut self, asked_ns: u64, now_ns: u64) {
        if self.window.holds(now_ns) {
            self.commit.saturating_record(now_ns - asked_ns);
        }
    }

    pub fn error(&mut self, what: &str) {
        *self.errors.entry(what.to_owned()).or_default() += 1;
    }

    /// Fails the run where a check did not hold.
    pub fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.error(&what());
        }
    }

    pub fn result(&self) -> Result<()> {
        if self.errors.is_empty() {
            return Ok(());
        }
        let list: Vec<String> = self
            .errors
            .iter()
            .map(|(what, count)| format!("{count} x {what}"))
            .collect();
        Err(Failure::new(list.join("; ")))
    }

    pub fn to_json(&self) -> Map<String, Value> {
        let seconds = (self.window.to_ns - self.window.from_ns) as f64 / 1e9;
        let mut line = Map::new();
        line.insert("seconds".into(), json!(seconds));
        line.insert("errors".into(), json!(self.errors));
        if self.acknowledged.requests > 0 || !self.ack.is_empty() {
            line.insert("produced".into(), self.acknowledged.to_json(seconds));
        }
        if self.fetched.requests > 0 {
            line.insert("fetched".into(), self.fetched.to_json(seconds));
        }
        let latencies = [
            ("ack", &self.ack),
            ("endToEnd", &self.end_to_end),
            ("fetch", &self.fetch),
            ("commit", &self.commit),
        ];
        for (name, histogram) in latencies {
            if !histogram.is_empty() {
                line.insert(format!("{name}Ms"), percentiles(histogram));
            }
        }
        line
    }
}

fn percentiles(histogram: &Histogram<u64>) -> Value {
    let at = |quantile: f64| milliseconds(histogram.value_at_quantile(quantile));
    json!({
        "count": histogram.len(),
        "mean": histogram.mean() / 1e6,
        "p50": at(0.5),
        "p90": at(0.9),
        "p99": at(0.99),
        "p999": at(0.999),
        "max": milliseconds(histogram.max()),
    })
}

fn milliseconds(ns: u64) -> f64 {
    ns as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_a_rate_where_answers_come_and_a_latency_where_sends_were_due() {
        let mut report = Report::new(Window {
            from_ns: 1_000_000_000,
            to_ns: 2_000_000_000,
        });
        report.acknowledged(900_000_000, 1_100_000_000, 10, 1000);
        report.acknowledged(1_000_000_000, 1_005_000_000, 10, 1000);
        report.acknowledged(1_900_000_000, 2_900_000_000, 10, 1000);
        let line = report.to_json();
        assert_eq!(line["produced"]["records"], 20);
        assert_eq!(line["produced"]["recordsPerSecond"], 20.0);
        assert_eq!(line["ackMs"]["count"], 2);
        let slowest = line["ackMs"]["max"].as_f64().unwrap();
        assert!((999.0..1002.0).contains(&slowest), "{slowest}");
    }

    #[test]
    fn names_every_error_with_its_count() {
        let mut report = Report::new(Window {
            from_ns: 0,
            to_ns: 1,
        });
        assert!(report.result().is_ok());
        report.error("produce: NOT_LEADER_OR_FOLLOWER");
        report.error("produce: NOT_LEADER_OR_FOLLOWER");
        assert_eq!(
            report.result().unwrap_err().to_string(),
            "2 x produce: NOT_LEADER_OR_FOLLOWER"
        );
    }
}
