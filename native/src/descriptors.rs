//! Writes by descriptor: to a segment's file, and straight from there to a socket. Descriptors are the caller's: Node
//! opened them and closes them, on the one thread that also calls here.

use std::io::IoSlice;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

/// More ranges than this go out in more than one call; the kernel's own limit is 1024.
const SLICES_MAX: usize = 64;

/// Writes all of `slices` at `position`, or returns how many bytes were written before the error.
pub fn write_all_at(
    file: BorrowedFd<'_>,
    slices: &[&[u8]],
    position: u64,
) -> Result<u64, (u64, Errno)> {
    let total: u64 = slices.iter().map(|slice| slice.len() as u64).sum();
    let mut written = 0;
    while written < total {
        match write_some(file, slices, written, position + written) {
            // A disk that takes nothing and names no error would be asked for ever.
            Ok(0) => return Err((written, Errno::IO)),
            Ok(count) => written += count as u64,
            Err(Errno::INTR) => {}
            Err(error) => return Err((written, error)),
        }
    }
    Ok(written)
}

/// One write of what follows after the first `done` bytes. It may be short, which is no error.
fn write_some(
    file: BorrowedFd<'_>,
    slices: &[&[u8]],
    done: u64,
    position: u64,
) -> Result<usize, Errno> {
    let mut parts = [IoSlice::new(&[]); SLICES_MAX];
    let mut count = 0;
    let mut skip = done;
    for slice in slices {
        let length = slice.len() as u64;
        if skip >= length {
            skip -= length;
            continue;
        }
        parts[count] = IoSlice::new(&slice[skip as usize..]);
        skip = 0;
        count += 1;
        if count == SLICES_MAX {
            break;
        }
    }
    #[cfg(target_os = "linux")]
    return rustix::io::pwritev(file, &parts[..count], position);
    #[cfg(not(target_os = "linux"))]
    return rustix::io::pwrite(file, &parts[0], position);
}

/// Sends bytes; `has_more` when others follow at once, so that the peer is not woken for these alone. Returns how many the
/// socket took; what stops it shows as with `send_file`.
#[cfg(target_os = "linux")]
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], has_more: bool) -> usize {
    use rustix::net::SendFlags;
    let mut flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    flags.set(SendFlags::MORE, has_more);
    rustix::net::send(socket, bytes, flags).unwrap_or(0)
}

/// Sends bytes of a file to a socket until all are sent, the socket takes no more, or the file ends. Whatever else stops
/// it shows when the rest is read or written in the usual way, so only the count is told.
#[cfg(target_os = "linux")]
pub fn send_file(socket: BorrowedFd<'_>, file: BorrowedFd<'_>, position: u64, length: u64) -> u64 {
    let mut at = position;
    let end = position + length;
    while at < end {
        let left = (end - at) as usize;
        match rustix::fs::sendfile(socket, file, Some(&mut at), left) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => break,
        }
    }
    at - position
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::AsFd;

    fn temporary(name: &str) -> (std::path::PathBuf, File) {
        let path = std::env::temp_dir().join(format!("millrace-{}-{name}", std::process::id()));
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .expect("a temporary file");
        (path, file)
    }

    #[test]
    fn writes_every_slice_in_order_however_many() {
        let (path, mut file) = temporary("slices");
        let pieces: Vec<Vec<u8>> = (0..200u8)
            .map(|byte| vec![byte; usize::from(byte)])
            .collect();
        let slices: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let expected = pieces.concat();
        assert_eq!(
            write_all_at(file.as_fd(), &slices, 3),
            Ok(expected.len() as u64)
        );
        let mut content = Vec::new();
        file.read_to_end(&mut content).expect("read back");
        assert_eq!(&content[3..], &expected[..]);
        std::fs::remove_file(path).expect("removed");
    }

    #[test]
    fn names_the_error() {
        let (path, _) = temporary("errors");
        let file = File::open(&path).expect("opened for reading");
        assert_eq!(
            write_all_at(file.as_fd(), &[b"x"], 0),
            Err((0, Errno::BADF))
        );
        std::fs::remove_file(path).expect("removed");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn sends_what_a_socket_takes() {
        use std::os::unix::net::UnixStream;
        let (path, file) = temporary("sent");
        let content: Vec<u8> = (0..4_000_000u32).map(|i| (i % 251) as u8).collect();
        write_all_at(file.as_fd(), &[&content], 0).expect("written");
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        ours.set_nonblocking(true).expect("not blocking");
        let sent = send_file(ours.as_fd(), file.as_fd(), 5, content.len() as u64 - 5);
        assert!(sent > 0 && sent < content.len() as u64 - 5);
        let mut got = vec![0; sent as usize];
        theirs.read_exact(&mut got).expect("received");
        assert_eq!(send(ours.as_fd(), b"head", false), 4);
        let mut head = [0; 4];
        theirs.read_exact(&mut head).expect("received");
        assert_eq!(&head, b"head");
        assert_eq!(&got[..], &content[5..5 + sent as usize]);
        assert_eq!(
            send_file(ours.as_fd(), file.as_fd(), content.len() as u64, 10),
            0
        );
        std::fs::remove_file(path).expect("removed");
    }
}
