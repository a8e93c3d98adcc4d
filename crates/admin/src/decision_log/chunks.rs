//! Reads a file in large pieces that consist of whole lines.

use std::io::{self, Read};

use memchr::{memchr, memrchr};

/// The size of a piece, and so the length from which a line is too long to be one of the log. The function's own lines have
/// at most 40,000 bytes; as a JSON string, about twice as many.
pub(super) const CHUNK: usize = 1 << 18;

/// Reads pieces of whole lines.
#[derive(Debug)]
pub(super) struct Chunks<R> {
    source: R,
    /// The beginning of a line whose end is not read yet.
    rest: Vec<u8>,
    /// Whether the rest of a line that is too long is being skipped.
    is_skipping: bool,
    /// The number of lines that were too long.
    too_long: u64,
    /// Whether a line without an end may still get it.
    is_growing: bool,
}

impl<R: Read> Chunks<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, rest: Vec::new(), is_skipping: false, too_long: 0, is_growing: false }
    }

    /// A source to which lines are added. At its end, nothing is read, and the next attempt may read more.
    pub(super) fn growing(source: R) -> Self {
        Self { is_growing: true, ..Self::new(source) }
    }

    /// Reads the next piece into a buffer, and returns its length: 0 at the end of the file. Does not wait for more lines than
    /// one. The last line of the file may have no end.
    pub(super) fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        buffer.resize(CHUNK, 0);
        let mut filled = self.rest.len();
        if let Some(start) = buffer.get_mut(..filled) {
            start.copy_from_slice(&self.rest);
        }
        self.rest.clear();
        loop {
            if filled == buffer.len() {
                self.too_long += 1;
                self.is_skipping = true;
                filled = 0;
            }
            let space = buffer.get_mut(filled..).unwrap_or_default();
            let read = match self.source.read(space) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if read == 0 && self.is_growing {
                self.rest.extend_from_slice(buffer.get(..filled).unwrap_or_default());
                return Ok(0);
            }
            if read == 0 {
                self.is_skipping = false;
                return Ok(filled);
            }
            let mut new = filled..filled + read;
            if self.is_skipping {
                let Some(end) = memchr(b'\n', buffer.get(new.clone()).unwrap_or_default()) else { continue };
                self.is_skipping = false;
                buffer.copy_within(new.start + end + 1..new.end, 0);
                new = 0..read - end - 1;
            }
            filled = new.end;
            if let Some(end) = memrchr(b'\n', buffer.get(new.clone()).unwrap_or_default()) {
                let length = new.start + end + 1;
                self.rest.extend_from_slice(buffer.get(length..filled).unwrap_or_default());
                return Ok(length);
            }
        }
    }

    pub(super) fn source(&mut self) -> &mut R {
        &mut self.source
    }

    /// The number of lines so far that were too long, and were skipped.
    pub(super) fn too_long(&self) -> u64 {
        self.too_long
    }
}

/// The lines of a piece, without their ends.
pub(super) fn lines(mut piece: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        if piece.is_empty() {
            return None;
        }
        let length = memchr(b'\n', piece).unwrap_or(piece.len());
        let (line, rest) = piece.split_at_checked(length)?;
        piece = rest.get(1..).unwrap_or_default();
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source that returns a few bytes at a time.
    struct Trickle<'a>(&'a [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
            let step = self.1.min(space.len()).min(self.0.len());
            let (now, rest) = self.0.split_at(step);
            space[..step].copy_from_slice(now);
            self.0 = rest;
            Ok(step)
        }
    }

    #[track_caller]
    fn check(text: &[u8], expected: &[&[u8]], too_long: u64) {
        for step in [1, 7, 4_096, CHUNK - 1, CHUNK, 3 * CHUNK] {
            if step < 100 && text.len() > CHUNK {
                continue;
            }
            let mut chunks = Chunks::new(Trickle(text, step));
            let (mut buffer, mut read) = (Vec::new(), Vec::new());
            loop {
                let length = chunks.read(&mut buffer).unwrap();
                if length == 0 {
                    break;
                }
                read.extend(lines(&buffer[..length]).map(<[u8]>::to_vec));
            }
            assert_eq!(read, expected, "{step} bytes at a time");
            assert_eq!(chunks.too_long(), too_long);
        }
    }

    #[test]
    fn every_line_is_read_once() {
        check(b"", &[], 0);
        check(b"a", &[b"a"], 0);
        check(b"a\nb", &[b"a", b"b"], 0);
        check(b"\na\r\n\n\xff\0\n", &[b"", b"a", b"", b"\xff\0"], 0);
    }

    #[test]
    fn a_line_that_grows_is_read_when_it_is_whole() {
        struct Pauses(Vec<&'static [u8]>);
        impl Read for Pauses {
            fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
                let piece = if self.0.is_empty() { b"" } else { self.0.remove(0) };
                space[..piece.len()].copy_from_slice(piece);
                Ok(piece.len())
            }
        }
        let mut chunks = Chunks::growing(Pauses(vec![b"a\nb", b"", b"", b"c", b"", b"d\n", b"e"]));
        let mut buffer = Vec::new();
        let mut next = || chunks.read(&mut buffer).map(|length| buffer[..length].to_vec()).unwrap();
        let pieces: Vec<_> = (0..6).map(|_| next()).collect();
        assert_eq!(pieces, [b"a\n".as_slice(), b"", b"", b"", b"bcd\n", b""]);
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped() {
        let long = vec![b'x'; 2 * CHUNK + 5];
        check(&long, &[], 1);
        check(&[b"a\n", long.as_slice(), b"\nb\n", &long, b"\n\nc"].concat(), &[b"a", b"b", b"", b"c"], 2);
        let longest = vec![b'y'; CHUNK - 1];
        check(&[b"a\n", longest.as_slice(), b"\nb"].concat(), &[b"a", &longest, b"b"], 0);
    }
}
