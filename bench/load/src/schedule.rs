//! When an open loop sends: at even distances from the start, whatever the answers do.

const SECOND_NS: f64 = 1e9;

#[derive(Clone, Debug)]
pub struct Schedule {
    first_ns: f64,
    distance_ns: f64,
    taken: u64,
}

impl Schedule {
    /// One schedule for each connection, that together make so many sends a second in turn.
    pub fn spread(connections: usize, sends_a_second: f64) -> Vec<Self> {
        let distance_ns = SECOND_NS * connections as f64 / sends_a_second;
        let first_ns = |index| distance_ns * index as f64 / connections as f64;
        (0..connections)
            .map(|index| Self {
                first_ns: first_ns(index),
                distance_ns,
                taken: 0,
            })
            .collect()
    }

    /// When the next send is due.
    pub fn next_ns(&self) -> u64 {
        self.at(self.taken)
    }

    /// Takes the next send, and tells when it was due.
    pub fn take(&mut self) -> u64 {
        self.taken += 1;
        self.at(self.taken - 1)
    }

    /// Sends that were due before a moment and were not taken.
    pub fn left_before(&self, end_ns: u64) -> u64 {
        let due = ((end_ns as f64 - self.first_ns) / self.distance_ns)
            .ceil()
            .max(0.0) as u64;
        due.saturating_sub(self.taken)
    }

    fn at(&self, index: u64) -> u64 {
        // From the start and not from the send before, so that no rounding adds up.
        (self.first_ns + self.distance_ns * index as f64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_its_rate_over_connections_and_time() {
        let mut schedules = Schedule::spread(4, 1000.0);
        let mut due: Vec<u64> = Vec::new();
        for schedule in &mut schedules {
            while schedule.next_ns() < 1_000_000_000 {
                due.push(schedule.take());
            }
        }
        due.sort_unstable();
        assert_eq!(due.len(), 1000);
        assert!(
            due.iter()
                .enumerate()
                .all(|(index, ns)| *ns == index as u64 * 1_000_000)
        );
    }

    #[test]
    fn knows_what_it_has_not_sent() {
        let mut schedule = Schedule::spread(1, 10.0).remove(0);
        assert_eq!(schedule.left_before(1_000_000_000), 10);
        for _ in 0..7 {
            schedule.take();
        }
        assert_eq!(schedule.left_before(1_000_000_000), 3);
        assert_eq!(schedule.left_before(500_000_000), 0);
    }
}
