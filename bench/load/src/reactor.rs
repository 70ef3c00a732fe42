//! epoll with a timer that is exact to the microsecond: a schedule of sends must not be rounded to milliseconds.

use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::fd::{AsFd, OwnedFd};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::failure::{Failure, Result};

const TIMER: u64 = u64::MAX;
const EVENTS_A_TURN: usize = 1024;

pub struct Reactor {
    epoll: OwnedFd,
    timer: OwnedFd,
    deadline: Option<Instant>,
    events: Vec<epoll::Event>,
}

#[derive(Clone, Copy, Debug)]
pub struct Ready {
    pub key: usize,
    pub is_readable: bool,
    pub is_writable: bool,
}

impl From<rustix::io::Errno> for Failure {
    fn from(cause: rustix::io::Errno) -> Self {
        std::io::Error::from(cause).into()
    }
}

impl Reactor {
    pub fn new() -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        // Edge-triggered, so that a timer that fired need not be read; setting it again is enough.
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, &timer, epoll::EventData::new_u64(TIMER), flags)?;
        Ok(Self {
            epoll,
            timer,
            deadline: None,
            events: Vec::with_capacity(EVENTS_A_TURN),
        })
    }

    pub fn watch(&self, socket: impl AsFd, key: usize) -> Result<()> {
        Ok(epoll::add(
            &self.epoll,
            socket,
            epoll::EventData::new_u64(key as u64),
            epoll::EventFlags::IN,
        )?)
    }

    /// Also tells when the socket takes bytes again, or no longer does.
    pub fn watch_writable(&self, socket: impl AsFd, key: usize, is_wanted: bool) -> Result<()> {
        let writable = if is_wanted {
            epoll::EventFlags::OUT
        } else {
            epoll::EventFlags::empty()
        };
        let flags = epoll::EventFlags::IN | writable;
        Ok(epoll::modify(
            &self.epoll,
            socket,
            epoll::EventData::new_u64(key as u64),
            flags,
        )?)
    }

    /// Waits for a socket or the deadline, whichever is first, and adds what is ready to `ready`.
    pub fn wait(&mut self, deadline: Instant, ready: &mut Vec<Ready>) -> Result<()> {
        if self.deadline != Some(deadline) {
            // A timer of zero would be off.
            let left = deadline
                .saturating_duration_since(Instant::now())
                .max(Duration::from_nanos(1));
            let zero = Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            let value = Timespec {
                tv_sec: left.as_secs() as i64,
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            timerfd_settime(
                &self.timer,
                TimerfdTimerFlags::empty(),
                &Itimerspec {
                    it_interval: zero,
                    it_value: value,
                },
            )?;
            self.deadline = Some(deadline);
        }
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(cause) => return Err(cause.into()),
        }
        for event in &self.events {
            let key = event.data.u64();
            let flags = event.flags;
            if key == TIMER {
                // It is off now: the same deadline again would wait for ever.
                self.deadline = None;
                continue;
            }
            let is_writable = flags.contains(epoll::EventFlags::OUT);
            // An error or a hang-up is met by reading.
            let is_readable = flags != epoll::EventFlags::OUT;
            ready.push(Ready {
                key: key as usize,
                is_readable,
                is_writable,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn wakes_at_the_deadline_and_not_at_the_next_millisecond() {
        let mut reactor = Reactor::new().unwrap();
        let mut shortest = Duration::MAX;
        for _ in 0..20 {
            let deadline = Instant::now() + Duration::from_micros(200);
            reactor.wait(deadline, &mut Vec::new()).unwrap();
            let now = Instant::now();
            assert!(now >= deadline);
            shortest = shortest.min(now - deadline);
        }
        assert!(
            shortest < Duration::from_micros(700),
            "{shortest:?} too late at best"
        );
    }

    #[test]
    fn tells_which_socket_has_something_to_read() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut far = listener.accept().unwrap().0;
        let mut reactor = Reactor::new().unwrap();
        reactor.watch(&near, 5).unwrap();
        far.write_all(&[1]).unwrap();
        let mut ready = Vec::new();
        reactor
            .wait(Instant::now() + Duration::from_secs(10), &mut ready)
            .unwrap();
        assert_eq!(ready.len(), 1);
        assert!(ready[0].key == 5 && ready[0].is_readable && !ready[0].is_writable);
        reactor.watch_writable(&near, 5, true).unwrap();
        ready.clear();
        reactor
            .wait(Instant::now() + Duration::from_secs(10), &mut ready)
            .unwrap();
        assert!(ready[0].is_writable);
    }
}
