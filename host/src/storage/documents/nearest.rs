//! Vectors in memory: an exact scan, and above a number of vectors an index beside it. Both are
//! built from the store's rows and thrown away when those have changed; nothing is on the disk.

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use usearch::{Index, IndexOptions, MetricKind, ScalarKind};

/// From how many vectors on an index is built: below, the exact scan is as fast.
const INDEX_FROM: usize = 4096;
/// How many candidates the index gives for each hit wanted; the exact scan ranks them.
const CANDIDATES_PER_HIT: usize = 8;
/// What the index looks at while it searches and while it grows (`ef` of HNSW), and the links of a
/// vector: with these, recall at 10 of 10,000 random vectors of 1,536 is what the bench prints.
const EXPANSION: (usize, usize) = (256, 128);
const CONNECTIVITY: usize = 32;
/// What all matrices together may take, in bytes; above, the oldest goes.
pub const MATRICES_BYTES_MAX: usize = 512 << 20;
/// Less than this is scanned by one thread, in floats.
const THREAD_FLOATS_MIN: usize = 1 << 20;
const THREADS_MAX: usize = 4;

/// The vectors of one scope and space, all of length 1.
#[derive(Debug)]
pub struct Matrix {
    /// Numbers of documents, in the order of the vectors.
    documents: Vec<i64>,
    floats: Vec<f32>,
    dimensions: usize,
    index: OnceLock<Built>,
}

/// An index, or the reason why there is none.
struct Built(Option<Index>);

impl std::fmt::Debug for Built {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Built").field(&self.0.is_some()).finish()
    }
}

/// A document and how near it is.
pub type Near = (i64, f32);

impl Matrix {
    /// An empty one for vectors of this length.
    pub fn new(dimensions: usize) -> Self {
        let (documents, floats) = (Vec::new(), Vec::new());
        Self { documents, floats, dimensions, index: OnceLock::new() }
    }

    /// Adds a vector of length 1; one of another number of dimensions is left out.
    pub fn push(&mut self, document: i64, vector: impl Iterator<Item = f32>) {
        let before = self.floats.len();
        self.floats.extend(vector);
        if self.floats.len() - before == self.dimensions {
            self.documents.push(document);
        } else {
            self.floats.truncate(before);
        }
    }

    /// How many vectors it has.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// What it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.floats.len() * size_of::<f32>() + self.documents.len() * size_of::<i64>()
    }

    /// The nearest, best first, by the exact scan.
    pub fn exact(&self, query: &[f32], limit: usize) -> Vec<Near> {
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let threads = threads.min(THREADS_MAX).min(self.floats.len() / THREAD_FLOATS_MIN + 1);
        let rows = self.len().div_ceil(threads).max(1);
        let parts = self.documents.chunks(rows).zip(self.floats.chunks(rows * self.dimensions));
        let scan = |(documents, floats): (&[i64], &[f32])| {
            let scores = floats.chunks_exact(self.dimensions).map(|vector| dot(vector, query));
            best(documents.iter().copied().zip(scores), limit)
        };
        if threads == 1 {
            return parts.map(scan).next().unwrap_or_default();
        }
        let found = std::thread::scope(|scope| {
            let all: Vec<_> = parts.map(|part| scope.spawn(move || scan(part))).collect();
            // A thread that panicked has found nothing; the panic is on stderr.
            all.into_iter().flat_map(|one| one.join().unwrap_or_default()).collect::<Vec<_>>()
        });
        best(found.into_iter(), limit)
    }

    /// The nearest, best first: by the index where it is built, else by the exact scan. The first
    /// search of a large matrix has it built on another thread.
    pub fn nearest(self: &Arc<Self>, query: &[f32], limit: usize) -> Vec<Near> {
        if self.len() < INDEX_FROM {
            return self.exact(query, limit);
        }
        match self.index.get() {
            Some(Built(Some(index))) => self.by_index(index, query, limit),
            Some(Built(None)) => self.exact(query, limit),
            None => {
                let own = Arc::clone(self);
                let building = std::thread::Builder::new().name("aos-vectors".into());
                // Where no thread can be had, the exact scan goes on.
                let _started = building.spawn(move || own.build());
                self.exact(query, limit)
            }
        }
    }

    /// Builds the index now, on this thread. Does nothing when it is there or being built.
    pub fn build(&self) {
        self.index.get_or_init(|| Built(self.built().ok()));
    }

    fn built(&self) -> Result<Index, String> {
        let options = IndexOptions {
            dimensions: self.dimensions,
            metric: MetricKind::IP,
            quantization: ScalarKind::I8,
            connectivity: CONNECTIVITY,
            expansion_add: EXPANSION.1,
            expansion_search: EXPANSION.0,
            multi: false,
        };
        let index = Index::new(&options).map_err(|error| error.to_string())?;
        index.reserve(self.len()).map_err(|error| error.to_string())?;
        for (row, vector) in self.floats.chunks_exact(self.dimensions).enumerate() {
            index.add(row as u64, vector).map_err(|error| error.to_string())?;
        }
        Ok(index)
    }

    fn by_index(&self, index: &Index, query: &[f32], limit: usize) -> Vec<Near> {
        let wanted = limit.saturating_mul(CANDIDATES_PER_HIT).min(self.len());
        let Ok(found) = index.search(query, wanted) else { return self.exact(query, limit) };
        let exact = found.keys.iter().filter_map(|row| {
            let row = usize::try_from(*row).ok()?;
            let vector = self.floats.get(row * self.dimensions..(row + 1) * self.dimensions)?;
            Some((*self.documents.get(row)?, dot(vector, query)))
        });
        best(exact, limit)
    }
}

/// The product of two vectors: eight sums side by side, so that the compiler uses whole registers.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (mut sums, a8, b8) = ([0.0f32; 16], a.chunks_exact(16), b.chunks_exact(16));
    let rest = a8.remainder().iter().zip(b8.remainder()).map(|(x, y)| x * y).sum::<f32>();
    for (x, y) in a8.zip(b8) {
        for lane in 0..16 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// The best so many, best first; of equals the lower number.
pub fn best(all: impl Iterator<Item = Near>, limit: usize) -> Vec<Near> {
    let order = |a: &Near, b: &Near| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    let mut kept: Vec<Near> = Vec::with_capacity(2 * limit + 1);
    // What is not above the worst of a full half need not be kept.
    let mut floor = f32::NEG_INFINITY;
    for near in all {
        if near.1 < floor {
            continue;
        }
        kept.push(near);
        if kept.len() > 2 * limit {
            kept.select_nth_unstable_by(limit, order);
            kept.truncate(limit);
            floor = kept.iter().map(|near| near.1).fold(f32::INFINITY, f32::min);
        }
    }
    kept.sort_unstable_by(order);
    kept.truncate(limit);
    kept
}

/// What a matrix is of: the agent, or all; the space's number.
pub type MatrixKey = (Option<String>, i64);

/// A matrix with the state of the store that it shows, and when it was used, as a count.
type Shown = (i64, u64, Arc<Matrix>);

/// The matrices that were searched last, each with the state of the store that it shows.
#[derive(Debug, Default)]
pub struct Matrices(Mutex<HashMap<MatrixKey, Shown>>);

impl Matrices {
    /// The matrix of this state, if it is there.
    pub fn get(&self, key: &MatrixKey, changes: i64) -> Option<Arc<Matrix>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = all.values().map(|(_, used, _)| *used).max().unwrap_or(0);
        let (of, used, matrix) = all.get_mut(key)?;
        *used = newest + 1;
        (*of == changes).then(|| Arc::clone(matrix))
    }

    /// Keeps a matrix; the ones that were not used for longest go when there is no room.
    pub fn keep(&self, key: MatrixKey, changes: i64, matrix: &Arc<Matrix>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&key);
        if matrix.bytes() > MATRICES_BYTES_MAX {
            return;
        }
        let taken = |all: &HashMap<MatrixKey, Shown>| {
            all.values().map(|(_, _, matrix)| matrix.bytes()).sum::<usize>()
        };
        while taken(&all) + matrix.bytes() > MATRICES_BYTES_MAX {
            let oldest = all.iter().min_by_key(|(_, (_, used, _))| *used);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { break };
            all.remove(&oldest);
        }
        let newest = all.values().map(|(_, used, _)| *used).max().unwrap_or(0);
        all.insert(key, (changes, newest + 1, Arc::clone(matrix)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    fn random(count: usize, dimensions: usize, seed: u64) -> Vec<Vec<f32>> {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let vector = |_| {
            let vector: Vec<f32> =
                (0..dimensions).map(|_| random.random_range(-1.0..1.0)).collect();
            let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
            vector.into_iter().map(|x| x / length).collect()
        };
        (0..count).map(vector).collect()
    }

    fn matrix(vectors: &[Vec<f32>]) -> Arc<Matrix> {
        let mut matrix = Matrix::new(vectors[0].len());
        for (number, vector) in vectors.iter().enumerate() {
            matrix.push(number as i64, vector.iter().copied());
        }
        Arc::new(matrix)
    }

    #[test]
    fn the_scan_finds_what_a_sort_of_all_finds() {
        // Two threads' worth, and a length that no register divides.
        for (count, dimensions) in [(3, 1), (50, 7), (9000, 131)] {
            let vectors = random(count, dimensions, 11);
            let matrix = matrix(&vectors);
            let query = &random(1, dimensions, 12)[0];
            let score = |v: &Vec<f32>| v.iter().zip(query).map(|(x, y)| x * y).sum::<f32>();
            let mut all: Vec<_> = vectors.iter().map(score).enumerate().collect();
            all.sort_by(|a, b| b.1.total_cmp(&a.1));
            let found: Vec<_> = matrix.exact(query, 10).into_iter().map(|near| near.0).collect();
            let expected: Vec<_> = all.iter().take(10).map(|(number, _)| *number as i64).collect();
            assert_eq!(found, expected, "{count} of {dimensions}");
        }
    }

    #[test]
    fn the_index_finds_nearly_all_that_the_scan_finds() {
        let vectors = random(INDEX_FROM + 500, 48, 21);
        let matrix = matrix(&vectors);
        let queries = random(20, 48, 22);
        assert_eq!(matrix.nearest(&queries[0], 10), matrix.exact(&queries[0], 10), "not built yet");
        matrix.build();
        let mut same = 0;
        for query in &queries {
            let exact = matrix.exact(query, 10);
            same += matrix.nearest(query, 10).iter().filter(|near| exact.contains(near)).count();
        }
        assert!(same >= 194, "recall {same} of 200");
    }

    #[test]
    fn an_old_matrix_is_not_given_and_the_bound_of_all_holds() {
        let matrices = Matrices::default();
        let one = matrix(&random(3, 4, 1));
        let key = (Some("a".to_owned()), 1);
        matrices.keep(key.clone(), 5, &one);
        assert!(matrices.get(&key, 5).is_some() && matrices.get(&key, 6).is_none());
        assert!(matrices.get(&(None, 1), 5).is_none());
    }
}
