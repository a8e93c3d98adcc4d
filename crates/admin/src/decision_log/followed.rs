//! Reads a file that grows, and that may be replaced or truncated.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read, Seek as _};
use std::path::{Path, PathBuf};

/// A file by its path, as `tail -F` reads it.
#[derive(Debug)]
pub struct FollowedFile {
    path: PathBuf,
    file: File,
    /// How many bytes of the file were read.
    read: u64,
    /// Whether a line that was not finished is to be ended, because another file follows.
    ends_line: bool,
}

impl FollowedFile {
    /// Opens the file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: File::open(path)?, read: 0, ends_line: false })
    }

    /// To be called at the end of the file: opens the file that has its path now, or starts again if it was truncated. Returns
    /// whether there is anything new to read.
    ///
    /// # Errors
    /// When the new file cannot be opened.
    pub fn reopen(&mut self) -> io::Result<bool> {
        let current = match std::fs::metadata(&self.path) {
            Ok(current) => current,
            // It was moved away, and the next one is not there yet.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let opened = self.file.metadata()?;
        if is_same(&current, &opened) && opened.len() >= self.read {
            return Ok(opened.len() > self.read);
        }
        if is_same(&current, &opened) {
            self.file.rewind()?;
        } else if opened.len() > self.read {
            // It grew before it was replaced.
            return Ok(true);
        } else {
            match File::open(&self.path) {
                Ok(file) => self.file = file,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        (self.read, self.ends_line) = (0, true);
        Ok(true)
    }
}

impl Read for FollowedFile {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        if let (true, Some(first)) = (self.ends_line, space.first_mut()) {
            self.ends_line = false;
            *first = b'\n';
            return Ok(1);
        }
        let read = self.file.read(space)?;
        self.read += read as u64;
        Ok(read)
    }
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Elsewhere, a file that is open is not replaced.
#[cfg(not(unix))]
fn is_same(_: &Metadata, _: &Metadata) -> bool {
    true
}
