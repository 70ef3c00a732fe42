//! When each batch should have been sent, so that whoever fetches it knows how long it took from end to end.
//!
//! A batch carries its producer's id and its first sequence, and both come back with it.

use std::collections::HashMap;

/// A reader that is further behind than this many batches of a partition gets no time for them.
const REMEMBERED_BATCHES: usize = 4096;

pub struct SendTimes {
    /// None of the times is kept where nobody reads.
    is_wanted: bool,
    lanes: HashMap<(i64, i32), Vec<Entry>>,
    record_count: u32,
}

#[derive(Clone, Copy)]
struct Entry {
    sequence: i32,
    intended_ns: u64,
}

impl SendTimes {
    pub fn new(is_wanted: bool, record_count: u32) -> Self {
        Self {
            is_wanted,
            lanes: HashMap::new(),
            record_count,
        }
    }

    pub fn note(&mut self, producer_id: i64, partition: i32, sequence: i32, intended_ns: u64) {
        if !self.is_wanted {
            return;
        }
        let index = self.index(sequence);
        let lane = self.lanes.entry((producer_id, partition)).or_default();
        if lane.is_empty() {
            lane.resize(
                REMEMBERED_BATCHES,
                Entry {
                    sequence: -1,
                    intended_ns: 0,
                },
            );
        }
        lane[index] = Entry {
            sequence,
            intended_ns,
        };
    }

    pub fn of(&self, producer_id: i64, partition: i32, sequence: i32) -> Option<u64> {
        let entry = self.lanes.get(&(producer_id, partition))?[self.index(sequence)];
        (entry.sequence == sequence).then_some(entry.intended_ns)
    }

    fn index(&self, sequence: i32) -> usize {
        (sequence as u32 / self.record_count) as usize % REMEMBERED_BATCHES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_last_batches_of_each_producer_and_partition() {
        let mut times = SendTimes::new(true, 100);
        times.note(1, 0, 0, 10);
        times.note(1, 0, 100, 20);
        times.note(1, 1, 0, 30);
        times.note(2, 0, 0, 40);
        assert_eq!(times.of(1, 0, 0), Some(10));
        assert_eq!(times.of(1, 0, 100), Some(20));
        assert_eq!(times.of(1, 1, 0), Some(30));
        assert_eq!(times.of(2, 0, 0), Some(40));
        assert_eq!(times.of(1, 0, 200), None);
        assert_eq!(times.of(3, 0, 0), None);
    }

    #[test]
    fn forgets_rather_than_mistakes_a_batch_for_a_later_one() {
        let mut times = SendTimes::new(true, 1);
        for sequence in 0..=REMEMBERED_BATCHES as i32 {
            times.note(1, 0, sequence, sequence as u64);
        }
        assert_eq!(times.of(1, 0, 0), None);
        assert_eq!(times.of(1, 0, 1), Some(1));
    }
}
