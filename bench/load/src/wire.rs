//! The primitives of the Kafka protocol: what a request is written with and a response read with.

use crate::failure::{Failure, Result};

/// Name under which the generator appears in a broker's log.
const CLIENT_ID: &str = "millrace-load";

/// One request, from its size to its last byte.
pub struct Request {
    bytes: Vec<u8>,
    is_flexible: bool,
}

impl Request {
    /// Begins with the header: version 2 for flexible versions of an API, 1 for the others.
    pub fn new(api_key: i16, version: i16, correlation_id: i32, is_flexible: bool) -> Self {
        let mut request = Self {
            bytes: vec![0; 4],
            is_flexible,
        };
        request.i16(api_key).i16(version).i32(correlation_id);
        // A client id keeps its old encoding in every version of the header.
        request
            .i16(CLIENT_ID.len() as i16)
            .raw(CLIENT_ID.as_bytes());
        request.tags()
    }

    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.raw(&[u8::from(value)])
    }

    pub fn i8(&mut self, value: i8) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub fn i16(&mut self, value: i16) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub fn i32(&mut self, value: i32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub fn i64(&mut self, value: i64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub fn unsigned_varint(&mut self, value: u32) -> &mut Self {
        push_unsigned_varint(&mut self.bytes, u64::from(value));
        self
    }

    /// The count before the elements of an array; compact counts are one more than they say.
    pub fn count(&mut self, count: usize) -> &mut Self {
        if self.is_flexible {
            self.unsigned_varint(count as u32 + 1)
        } else {
            self.i32(count as i32)
        }
    }

    pub fn string(&mut self, text: &str) -> &mut Self {
        if self.is_flexible {
            self.unsigned_varint(text.len() as u32 + 1);
        } else {
            self.i16(text.len() as i16);
        }
        self.raw(text.as_bytes())
    }

    pub fn null_string(&mut self) -> &mut Self {
        if self.is_flexible {
            self.unsigned_varint(0)
        } else {
            self.i16(-1)
        }
    }

    pub fn byte_count(&mut self, count: usize) -> &mut Self {
        if self.is_flexible {
            self.unsigned_varint(count as u32 + 1)
        } else {
            self.i32(count as i32)
        }
    }

    /// An empty set of tagged fields, where the version has one.
    pub fn tags(mut self) -> Self {
        self.no_tags();
        self
    }

    pub fn no_tags(&mut self) -> &mut Self {
        if self.is_flexible {
            self.raw(&[0])
        } else {
            self
        }
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes to send. `behind` bytes follow them from elsewhere and belong to the same request.
    pub fn finish(mut self, behind: usize) -> Vec<u8> {
        let size = (self.bytes.len() - 4 + behind) as i32;
        self.bytes[..4].copy_from_slice(&size.to_be_bytes());
        self.bytes
    }
}

pub fn push_unsigned_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// The zigzag encoding that records use for their numbers.
pub fn push_varint(bytes: &mut Vec<u8>, value: i64) {
    push_unsigned_varint(bytes, ((value << 1) ^ (value >> 63)) as u64);
}

/// Reads a response. Whatever does not fit is a failure, never a panic.
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    is_flexible: bool,
}

impl<'a> Reader<'a> {
    /// A reader of the body behind the correlation id, which is returned beside it.
    pub fn of_response(frame: &'a [u8], is_flexible: bool) -> Result<(i32, Self)> {
        let mut reader = Self {
            bytes: frame,
            at: 0,
            is_flexible,
        };
        let correlation_id = reader.i32()?;
        reader.tags()?;
        Ok((correlation_id, reader))
    }

    pub fn raw(&mut self, count: usize) -> Result<&'a [u8]> {
        let end = self
            .at
            .checked_add(count)
            .filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| {
            Failure::new(format!(
                "a response ends before its byte {}",
                self.at + count
            ))
        })?;
        let bytes = &self.bytes[self.at..end];
        self.at = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.raw(N)?);
        Ok(bytes)
    }

    pub fn bool(&mut self) -> Result<bool> {
        Ok(self.array::<1>()?[0] != 0)
    }

    pub fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    pub fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    pub fn unsigned_varint(&mut self) -> Result<u32> {
        let mut value = 0u32;
        for shift in (0..35).step_by(7) {
            let byte = self.array::<1>()?[0];
            value |= u32::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Failure::new("a varint is longer than five bytes"))
    }

    /// Elements of an array; a null one has none.
    pub fn count(&mut self) -> Result<usize> {
        let count = if self.is_flexible {
            i64::from(self.unsigned_varint()?) - 1
        } else {
            i64::from(self.i32()?)
        };
        Ok(count.max(0) as usize)
    }

    /// A string; a null one is empty.
    pub fn string(&mut self) -> Result<String> {
        let length = if self.is_flexible {
            i64::from(self.unsigned_varint()?) - 1
        } else {
            i64::from(self.i16()?)
        };
        Ok(String::from_utf8_lossy(self.raw(length.max(0) as usize)?).into_owned())
    }

    /// Bytes with their count before them; null ones are empty.
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let count = self.count()?;
        self.raw(count)
    }

    pub fn tags(&mut self) -> Result<()> {
        if !self.is_flexible {
            return Ok(());
        }
        for _ in 0..self.unsigned_varint()? {
            self.unsigned_varint()?;
            let size = self.unsigned_varint()? as usize;
            self.raw(size)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_a_request_with_its_size_and_header() {
        let mut request = Request::new(3, 4, 7, false);
        request.i32(-1);
        let mut expected = vec![0, 0, 0, 27, 0, 3, 0, 4, 0, 0, 0, 7, 0, 13];
        expected.extend_from_slice(b"millrace-load");
        expected.extend_from_slice(&[0xff; 4]);
        assert_eq!(request.finish(0), expected);
    }

    #[test]
    fn counts_bytes_that_are_sent_from_elsewhere_into_the_size() {
        let size = |behind| {
            i32::from_be_bytes(
                Request::new(0, 9, 0, true).finish(behind)[..4]
                    .try_into()
                    .unwrap(),
            )
        };
        assert_eq!(size(1000), size(0) + 1000);
    }

    #[test]
    fn writes_compact_forms_in_flexible_versions_only() {
        let written = |is_flexible| {
            let mut request = Request::new(1, 12, 0, is_flexible);
            let header = request.len();
            request
                .string("ab")
                .null_string()
                .count(2)
                .byte_count(200)
                .no_tags();
            request.finish(0)[header..].to_vec()
        };
        assert_eq!(written(true), [3, b'a', b'b', 0, 3, 0xc9, 1, 0]);
        assert_eq!(
            written(false),
            [0, 2, b'a', b'b', 0xff, 0xff, 0, 0, 0, 2, 0, 0, 0, 200]
        );
    }

    #[test]
    fn encodes_varints_as_records_do() {
        let varint = |value| {
            let mut bytes = Vec::new();
            push_varint(&mut bytes, value);
            bytes
        };
        assert_eq!(varint(0), [0]);
        assert_eq!(varint(-1), [1]);
        assert_eq!(varint(63), [126]);
        assert_eq!(varint(64), [128, 1]);
        assert_eq!(varint(i64::MIN).len(), 10);
    }

    #[test]
    fn reads_what_a_flexible_response_holds_and_skips_its_tags() {
        let frame = [
            0, 0, 0, 9, 1, 0, 2, 0xaa, 0xbb, 3, b'h', b'i', 0, 1, 0, 5, 0,
        ];
        let (correlation_id, mut reader) = Reader::of_response(&frame, true).unwrap();
        assert_eq!(correlation_id, 9);
        assert_eq!(reader.string().unwrap(), "hi");
        assert_eq!(reader.string().unwrap(), "");
        assert_eq!(reader.count().unwrap(), 0);
        assert_eq!(reader.i16().unwrap(), 5 << 8 >> 8);
        assert!(reader.i16().is_err());
    }

    #[test]
    fn refuses_a_response_that_is_cut_anywhere() {
        let frame = [0, 0, 0, 9, 1, 0, 2, 0xaa, 0xbb, 3, b'h', b'i'];
        for end in 0..frame.len() {
            let read = Reader::of_response(&frame[..end], true)
                .and_then(|(_, mut reader)| reader.string());
            assert!(read.is_err(), "cut at {end}");
        }
    }
}
