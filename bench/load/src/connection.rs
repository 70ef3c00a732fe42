//! A connection of the event loop: what is still to be sent, and what has been received of the next answer.

use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;
use std::rc::Rc;

use crate::failure::{Failure, Result};

/// Smaller payloads are copied behind their heads: a copy costs less than another slice in the system call.
const COPY_BELOW_BYTES: usize = 8 * 1024;
const SLICES_A_WRITE: usize = 16;
const SMALL_INBOX_BYTES: usize = 4 * 1024;
/// Largest answer that is believed.
const FRAME_BYTES_MAX: usize = 256 * 1024 * 1024;

enum Piece {
    Own(Vec<u8>),
    Shared(Rc<[u8]>),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

pub struct Connection {
    pub socket: TcpStream,
    unsent: VecDeque<Piece>,
    /// Bytes of the first piece that are sent already.
    sent: usize,
    inbox: Vec<u8>,
    taken: usize,
    filled: usize,
}

impl Connection {
    pub fn new(socket: TcpStream) -> Result<Self> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        Ok(Self {
            socket,
            unsent: VecDeque::new(),
            sent: 0,
            inbox: vec![0; SMALL_INBOX_BYTES],
            taken: 0,
            filled: 0,
        })
    }

    /// Puts a request behind those that wait; `flush` sends it.
    pub fn push(&mut self, head: &[u8], payload: Option<&Rc<[u8]>>) {
        let Some(Piece::Own(open)) = self.unsent.back_mut() else {
            self.unsent.push_back(Piece::Own(Vec::with_capacity(
                head.len() + COPY_BELOW_BYTES,
            )));
            return self.push(head, payload);
        };
        open.extend_from_slice(head);
        match payload {
            Some(bytes) if bytes.len() < COPY_BELOW_BYTES => open.extend_from_slice(bytes),
            Some(bytes) => self.unsent.push_back(Piece::Shared(Rc::clone(bytes))),
            None => {}
        }
    }

    /// Sends as much as the socket takes. True when nothing is left.
    pub fn flush(&mut self) -> Result<bool> {
        while !self.unsent.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_A_WRITE];
            let mut count = 0;
            for (slice, piece) in slices.iter_mut().zip(&self.unsent) {
                let from = if count == 0 { self.sent } else { 0 };
                *slice = IoSlice::new(&piece.bytes()[from..]);
                count += 1;
            }
            match self.socket.write_vectored(&slices[..count]) {
                Ok(written) => self.forget(written),
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause.into()),
            }
        }
        Ok(true)
    }

    fn forget(&mut self, written: usize) {
        self.sent += written;
        while let Some(first) = self.unsent.front() {
            let size = first.bytes().len();
            if self.sent < size {
                break;
            }
            self.sent -= size;
            self.unsent.pop_front();
        }
    }

    /// One read of the socket. Answers that are whole then come from `next_frame`.
    pub fn receive(&mut self) -> Result<()> {
        self.make_room();
        match self.socket.read(&mut self.inbox[self.filled..]) {
            Ok(0) => Err(Failure::new("the broker closed the connection")),
            Ok(count) => {
                self.filled += count;
                Ok(())
            }
            Err(cause)
                if matches!(cause.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                Ok(())
            }
            Err(cause) => Err(cause.into()),
        }
    }

    /// The next whole answer without its size.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>> {
        let Some(size) = self.pending_size()? else {
            return Ok(None);
        };
        if self.filled - self.taken < size {
            return Ok(None);
        }
        let start = self.taken + 4;
        self.taken += size;
        Ok(Some(&self.inbox[start..self.taken]))
    }

    /// Size of the answer at the front, its own four bytes included.
    fn pending_size(&self) -> Result<Option<usize>> {
        let Some(size) = self.inbox[self.taken..self.filled].first_chunk::<4>() else {
            return Ok(None);
        };
        let size = u32::from_be_bytes(*size) as usize;
        if size > FRAME_BYTES_MAX {
            return Err(Failure::new(format!("an answer says it has {size} bytes")));
        }
        Ok(Some(size + 4))
    }

    /// Moves what is unread to the front, and grows for an answer that does not fit.
    fn make_room(&mut self) {
        if self.taken > 0 {
            self.inbox.copy_within(self.taken..self.filled, 0);
            self.filled -= self.taken;
            self.taken = 0;
        }
        let wanted = self
            .pending_size()
            .ok()
            .flatten()
            .unwrap_or(0)
            .max(self.filled + 1);
        if wanted > self.inbox.len() {
            self.inbox.resize(wanted.next_power_of_two(), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn pair() -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (Connection::new(near).unwrap(), listener.accept().unwrap().0)
    }

    #[test]
    fn sends_heads_and_payloads_in_order_whatever_the_socket_takes_at_a_time() {
        let (mut near, mut far) = pair();
        let small: Rc<[u8]> = vec![1; 100].into();
        let large: Rc<[u8]> = vec![2; 3_000_000].into();
        let mut expected = Vec::new();
        for (head, payload) in [
            (&[9u8; 5][..], &small),
            (&[8; 7], &large),
            (&[7; 3], &small),
            (&[6; 2], &large),
        ] {
            near.push(head, Some(payload));
            expected.extend_from_slice(head);
            expected.extend_from_slice(payload);
        }
        let reader = std::thread::spawn(move || {
            let mut received = vec![0; 6_000_217];
            far.read_exact(&mut received).unwrap();
            received
        });
        while !near.flush().unwrap() {
            std::thread::yield_now();
        }
        assert!(reader.join().unwrap() == expected);
    }

    #[test]
    fn hands_out_answers_one_by_one_however_they_arrive() {
        let (mut near, mut far) = pair();
        let answers: Vec<Vec<u8>> = [0, 3, 5000, 1, 70_000, 12]
            .iter()
            .map(|size| vec![*size as u8; *size])
            .collect();
        let stream: Vec<u8> = answers
            .iter()
            .flat_map(|answer| [&(answer.len() as u32).to_be_bytes()[..], answer].concat())
            .collect();
        let writer = std::thread::spawn(move || {
            for chunk in stream.chunks(977) {
                far.write_all(chunk).unwrap();
            }
            far
        });
        let mut received = Vec::new();
        while received.len() < answers.len() {
            near.receive().unwrap();
            while let Some(frame) = near.next_frame().unwrap() {
                received.push(frame.to_vec());
            }
        }
        assert!(received == answers);
        drop(writer.join().unwrap());
        while near.receive().is_ok() {}
    }
}
