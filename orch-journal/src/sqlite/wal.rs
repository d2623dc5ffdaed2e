//! A look at the WAL before SQLite opens it.
//!
//! SQLite reads a WAL up to the first frame that is not whole, and takes that for its end. It is the
//! end if the process or the machine died while that frame was written. It is damage if what follows
//! was written after the transaction of that frame had been synced, and then SQLite would silently
//! forget committed transactions. What tells the two apart: nobody writes a frame of the next
//! transaction before the commit frame of the last one is synced.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
const MAGIC: u32 = 0x377f_0682;
const PAGE_BYTES_MAX: u32 = 65_536;

/// What stands in a WAL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalReport {
    /// Frames of committed transactions.
    pub n_committed: u64,
    /// Whether something follows them that never became a transaction.
    pub torn: bool,
}

/// A bad frame that others follow which were written after it had been synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WalDamage {
    /// Counted from 1; 0 for the header.
    pub(super) frame: u64,
    pub(super) offset: u64,
    pub(super) what: &'static str,
}

/// Looks at a WAL. A missing or empty one is in order.
pub(super) fn scan(path: &Path) -> std::io::Result<Result<WalReport, WalDamage>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Ok(WalReport::default())),
        Err(error) => return Err(error),
    };
    let mut header = [0; HEADER_BYTES];
    let mut wal = Wal { length: file.metadata()?.len(), file };
    if wal.length < HEADER_BYTES as u64 {
        return Ok(Ok(WalReport { n_committed: 0, torn: wal.length > 0 }));
    }
    wal.read_at(0, &mut header)?;
    match Header::read(&header) {
        Ok(header) => wal.frames(&header),
        // Space that was taken for the file and never written: no frame of it was synced.
        Err(_) if header == [0; HEADER_BYTES] => Ok(Ok(WalReport { n_committed: 0, torn: true })),
        Err(what) => Ok(Err(WalDamage { frame: 0, offset: 0, what })),
    }
}

struct Wal {
    file: File,
    length: u64,
}

#[derive(Clone, Copy)]
struct Header {
    page_bytes: usize,
    salt: [u8; 8],
    /// Whether checksums are taken over big-endian words.
    big: bool,
    sum: Sum,
}

type Sum = (u32, u32);

/// What one frame is.
struct Frame {
    /// Its salt is the header's: it is of this round of the WAL.
    ours: bool,
    /// It follows from the checksum before it.
    whole: bool,
    /// It ends a transaction.
    commits: bool,
    /// The checksum that it states.
    stated: Sum,
}

impl Header {
    fn read(bytes: &[u8; HEADER_BYTES]) -> Result<Self, &'static str> {
        let (magic, page_bytes) = (word(bytes, 0), word(bytes, 8));
        if magic & !1 != MAGIC {
            return Err("the magic number of its header is wrong");
        }
        let big = magic & 1 == 1;
        let sum = checksum((0, 0), &bytes[..24], big);
        if sum != (word(bytes, 24), word(bytes, 28)) {
            return Err("the checksum of its header is wrong");
        }
        if !page_bytes.is_power_of_two() || !(512..=PAGE_BYTES_MAX).contains(&page_bytes) {
            return Err("the page size in its header is wrong");
        }
        let mut salt = [0; 8];
        salt.copy_from_slice(&bytes[16..24]);
        Ok(Self { page_bytes: page_bytes as usize, salt, big, sum })
    }

    fn frame(&self, bytes: &[u8], before: Sum) -> Frame {
        let stated = (word(bytes, 16), word(bytes, 20));
        let sum = checksum(before, &bytes[..8], self.big);
        let sum = checksum(sum, &bytes[FRAME_HEADER_BYTES..], self.big);
        let ours = bytes[8..16] == self.salt;
        let whole = ours && sum == stated && word(bytes, 0) != 0;
        Frame { ours, whole, commits: word(bytes, 4) != 0, stated }
    }
}

impl Wal {
    fn frames(&mut self, header: &Header) -> std::io::Result<Result<WalReport, WalDamage>> {
        let frame_bytes = FRAME_HEADER_BYTES + header.page_bytes;
        let n_frames = (self.length - HEADER_BYTES as u64) / frame_bytes as u64;
        let mut bytes = vec![0; frame_bytes];
        let (mut before, mut n_committed) = (header.sum, 0);
        for index in 0..n_frames {
            let offset = HEADER_BYTES as u64 + index * frame_bytes as u64;
            self.read_at(offset, &mut bytes)?;
            let frame = header.frame(&bytes, before);
            if !frame.whole {
                let is_later = self.later_transaction(header, index, n_frames, &frame)?;
                let what = "it is damaged, and transactions follow that were written after it";
                let damage = WalDamage { frame: index + 1, offset, what };
                let torn = WalReport { n_committed, torn: true };
                return Ok(if is_later { Err(damage) } else { Ok(torn) });
            }
            before = frame.stated;
            if frame.commits {
                n_committed = index + 1;
            }
        }
        let tail = (self.length - HEADER_BYTES as u64) % frame_bytes as u64;
        Ok(Ok(WalReport { n_committed, torn: n_committed < n_frames || tail > 0 }))
    }

    /// Whether a frame of a later transaction than that of the bad frame stands behind it.
    ///
    /// A frame is whole here if it follows from the checksum that the frame before it states.
    fn later_transaction(
        &mut self,
        header: &Header,
        bad_index: u64,
        n_frames: u64,
        bad: &Frame,
    ) -> std::io::Result<bool> {
        let frame_bytes = FRAME_HEADER_BYTES + header.page_bytes;
        let mut bytes = vec![0; frame_bytes];
        // Its own word for it, if it is of this round at all.
        let mut committed = bad.ours && bad.commits;
        let mut before = bad.stated;
        for index in bad_index + 1..n_frames {
            self.read_at(HEADER_BYTES as u64 + index * frame_bytes as u64, &mut bytes)?;
            let frame = header.frame(&bytes, before);
            if frame.ours && committed {
                return Ok(true);
            }
            committed |= frame.whole && frame.commits;
            before = frame.stated;
        }
        Ok(false)
    }

    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> std::io::Result<()> {
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.read_exact(bytes)
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

/// SQLite's checksum, continued from `before`.
fn checksum(before: Sum, bytes: &[u8], big: bool) -> Sum {
    let (mut one, mut two) = before;
    for pair in bytes.chunks_exact(8) {
        let word = |at: usize| {
            let word = word(pair, at);
            if big { word } else { word.swap_bytes() }
        };
        one = one.wrapping_add(word(0)).wrapping_add(two);
        two = two.wrapping_add(word(4)).wrapping_add(one);
    }
    (one, two)
}
