//! What a call has open of the process's own: files and folders, and sockets that outlive their
//! handle in a stream. It knows nothing of what they are used for.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Weak};

use crate::types::LimitHit;

/// A place that is taken until it is dropped: by what is being opened, or by a stream.
#[derive(Clone, Debug)]
pub struct Place {
    _taken: Arc<()>,
}

/// The count of what is open. A file counts for as long as anything holds it: its handle, a stream
/// or a call that is under way.
#[derive(Debug)]
pub struct OpenFiles {
    limit: LimitHit,
    files: Vec<Weak<File>>,
    places: Vec<Weak<()>>,
    /// Of each socket with streams, by its handle.
    streams: HashMap<u32, Arc<()>>,
}

impl OpenFiles {
    /// None open yet; `limit` is told when too many are.
    pub fn new(limit: LimitHit) -> Self {
        Self { limit, files: Vec::new(), places: Vec::new(), streams: HashMap::new() }
    }

    /// Whether one more would be too many; `others` are open that are counted elsewhere.
    pub fn is_full(&mut self, others: usize) -> bool {
        self.files.retain(|file| file.strong_count() > 0);
        self.places.retain(|place| place.strong_count() > 0);
        (self.files.len() + self.places.len() + others) as u64 >= self.limit.value
    }

    /// The limit, for the call that it ends.
    pub fn limit(&self) -> LimitHit {
        self.limit.clone()
    }

    /// Counts a file from now on.
    pub fn add(&mut self, file: &Arc<File>) {
        self.files.push(Arc::downgrade(file));
    }

    /// Counts one that is not a file of a handle's own, until the place is dropped.
    pub fn take_place(&mut self) -> Place {
        let taken = Arc::new(());
        self.places.push(Arc::downgrade(&taken));
        Place { _taken: taken }
    }

    /// To be held by a stream of a socket. While the socket has its handle, both count as one.
    pub fn stream_of_socket(&mut self, handle: u32) -> Place {
        Place { _taken: Arc::clone(self.streams.entry(handle).or_default()) }
    }

    /// The handle of a socket is gone; from now on its streams count.
    pub fn socket_closed(&mut self, handle: u32) {
        if let Some(streams) = self.streams.remove(&handle) {
            self.places.push(Arc::downgrade(&streams));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::limits::{LimitName, Limits};

    fn of(files: u64) -> OpenFiles {
        OpenFiles::new(Limits { open_files: files, ..Limits::default() }.hit(LimitName::OpenFiles))
    }

    #[test]
    fn a_file_counts_while_anything_holds_it() {
        let mut open = of(1);
        let file = Arc::new(File::open("/").expect("a folder"));
        open.add(&file);
        let stream = Arc::clone(&file);
        drop(file);
        assert!(open.is_full(0));
        drop(stream);
        assert!(!open.is_full(0));
        assert!(open.is_full(1));
    }

    #[test]
    fn a_place_counts_until_it_is_dropped() {
        let mut open = of(1);
        let place = open.take_place();
        assert!(open.is_full(0));
        drop(place);
        assert!(!open.is_full(0));
    }

    #[test]
    fn a_sockets_streams_count_once_its_handle_is_gone() {
        let mut open = of(1);
        let (sending, receiving) = (open.stream_of_socket(7), open.stream_of_socket(7));
        assert!(!open.is_full(0), "the socket itself is counted by its handle");
        open.socket_closed(7);
        assert!(open.is_full(0));
        drop(sending);
        assert!(open.is_full(0));
        drop(receiving);
        assert!(!open.is_full(0));
        open.socket_closed(7);
        assert!(!open.is_full(0));
    }
}
