//! Bodies: what is too large for a row, under the hash of its content, stored once.
//!
//! What a body says is the business of whoever keeps it. A row names a body by its hash, so what
//! the store gives back is believed only after it was hashed again.

use super::{Answer, Digest};
use std::io::Read;
use std::sync::Arc;

/// The largest body, in bytes before packing: as large as a component may be.
pub const BODY_BYTES_MAX: usize = 256 << 20;
/// Smaller bodies are kept as they are: a compressed frame would not be smaller.
const PACKED_FROM_BYTES: usize = 128;
/// zstd's fastest ordinary level: bodies are written on the way of an agent's step.
const LEVEL: i32 = 1;

/// A body as the store keeps it. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedBody {
    /// blake3 of the content.
    pub hash: Digest,
    /// Bytes of the content, before packing.
    pub size: u64,
    /// Whether `bytes` is a zstd frame; else it is the content.
    pub packed: bool,
    /// What is stored.
    pub bytes: Arc<[u8]>,
}

/// A body that is not what it should be, as the end of a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is over [`BODY_BYTES_MAX`].
    #[error("a body of {0} bytes is over the limit of {BODY_BYTES_MAX} bytes")]
    TooLarge(u64),
    /// What is stored is not what was written.
    #[error("the stored body {0} is not what was written: {1}")]
    Damaged(Digest, &'static str),
}

impl PackedBody {
    /// Packs a content.
    ///
    /// # Errors
    /// [`BodyError::TooLarge`].
    pub fn pack(content: &[u8]) -> Result<Self, BodyError> {
        let size = content.len() as u64;
        if content.len() > BODY_BYTES_MAX {
            return Err(BodyError::TooLarge(size));
        }
        let hash = Digest(*blake3::hash(content).as_bytes());
        let packed = match content.len() >= PACKED_FROM_BYTES {
            // Without memory for a frame the content itself is as good.
            true => zstd::bulk::compress(content, LEVEL).ok(),
            false => None,
        };
        Ok(match packed.filter(|packed| packed.len() < content.len()) {
            Some(bytes) => Self { hash, size, packed: true, bytes: bytes.into() },
            None => Self { hash, size, packed: false, bytes: content.into() },
        })
    }

    /// The content, checked: it takes no more memory than it says, and its hash is that of `hash`.
    ///
    /// # Errors
    /// [`BodyError`] says what is wrong with it.
    pub fn unpack(&self) -> Result<Vec<u8>, BodyError> {
        let damaged = |what| BodyError::Damaged(self.hash, what);
        if self.size > BODY_BYTES_MAX as u64 {
            return Err(BodyError::TooLarge(self.size));
        }
        let content = match self.packed {
            false => self.bytes.to_vec(),
            true => {
                let mut content = Vec::new();
                let frame = zstd::stream::read::Decoder::with_buffer(&*self.bytes);
                let mut frame = frame.map_err(|_| damaged("no zstd frame"))?.take(self.size + 1);
                let read = frame.read_to_end(&mut content);
                read.map_err(|_| damaged("a broken zstd frame"))?;
                content
            }
        };
        if content.len() as u64 != self.size {
            return Err(damaged("another size"));
        }
        if blake3::hash(&content).as_bytes() != &self.hash.0 {
            return Err(damaged("another content"));
        }
        Ok(content)
    }
}

/// The bodies of a store. They are written by [`Storage::append`](super::Storage::append), with
/// the rows that name them.
pub trait Bodies {
    /// Some of these bodies, in any order: each that is there, until the page is over
    /// [`PAGE_BYTES_MAX`](super::PAGE_BYTES_MAX). Empty only when none is there.
    fn bodies<'a>(&'a self, hashes: &'a [Digest]) -> Answer<'a, Vec<PackedBody>>;

    /// Whether a body is there.
    fn has_body(&self, hash: Digest) -> Answer<'_, bool>;

    /// The bodies after this hash, in byte order: a page of rows and bytes, empty only at the end.
    fn body_page(&self, after: Option<Digest>) -> Answer<'_, Vec<PackedBody>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_comes_back_as_it_was_packed() {
        for content in [Vec::new(), b"short".to_vec(), vec![7; 100_000], noise(5_000)] {
            let body = PackedBody::pack(&content).expect("small enough");
            assert_eq!(body.unpack().expect("sound"), content);
            assert!(body.bytes.len() <= content.len());
        }
        assert!(PackedBody::pack(&vec![7; 100_000]).expect("packed").bytes.len() < 1_000);
    }

    #[test]
    fn a_body_that_was_changed_is_refused() {
        for content in [b"short".to_vec(), vec![7; 100_000], noise(5_000)] {
            let body = PackedBody::pack(&content).expect("small enough");
            for at in (0..body.bytes.len()).step_by(7) {
                let mut bytes = body.bytes.to_vec();
                bytes[at] ^= 1;
                let changed = PackedBody { bytes: bytes.into(), ..body.clone() };
                // zstd has bits that say nothing of the content; the content itself is right then.
                assert!(changed.unpack().map_or(true, |unpacked| unpacked == content), "{at}");
            }
            for cut in 0..body.bytes.len().min(200) {
                let cut = PackedBody { bytes: body.bytes[..cut].into(), ..body.clone() };
                cut.unpack().expect_err("cut");
            }
            for size in [body.size + 1, body.size - 1, u64::MAX] {
                PackedBody { size, ..body.clone() }.unpack().expect_err("another size");
            }
        }
    }

    #[test]
    fn a_bomb_takes_no_more_than_it_says() {
        let bomb = PackedBody::pack(&vec![0; 64 << 20]).expect("small enough");
        let small = PackedBody { size: 10, ..bomb };
        assert!(matches!(small.unpack(), Err(BodyError::Damaged(..))));
    }

    fn noise(bytes: usize) -> Vec<u8> {
        let mut noise = vec![0; bytes];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        noise
    }
}
