//! Processor time and memory of a process, as the kernel tells them.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::failure::{Failure, Result};

/// The unit of /proc/PID/stat, the same on every Linux that Rust supports.
const TICKS_A_SECOND: f64 = 100.0;

/// Seconds that all threads of a process have run, in user and kernel mode. `self` for this one.
pub fn cpu_seconds(pid: &str) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let stat =
        fs::read_to_string(&path).map_err(|cause| Failure::new(format!("{path}: {cause}")))?;
    ticks(&stat)
        .map(|ticks| ticks / TICKS_A_SECOND)
        .ok_or_else(|| Failure::new(format!("{path} is not understood")))
}

fn ticks(stat: &str) -> Option<f64> {
    // The name in parentheses may hold spaces, so fields are counted from behind it: utime and stime are 14 and 15.
    let mut fields = stat[stat.rfind(')')? + 1..]
        .split_ascii_whitespace()
        .skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Lets this process open as many connections as the system allows it at most.
pub fn allow_many_connections() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_times_behind_a_name_with_spaces_and_parentheses() {
        let stat =
            "71 (a (b) c) S 1 71 71 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 12345 1000 200";
        assert_eq!(ticks(stat), Some(300.0));
        assert_eq!(ticks("nothing"), None);
    }

    #[test]
    fn tells_the_time_of_this_process() {
        assert!(cpu_seconds("self").unwrap() >= 0.0);
        assert!(cpu_seconds("no such process").is_err());
    }
}
