//! The classic policies against textbooks' counts, and against plain implementations that scan a
//! list at every step.

use super::*;

/// Belady, Nelson and Shedler 1969, and Silberschatz, Galvin and Gagne, Operating System Concepts,
/// chapter on virtual memory.
const BELADY: [u64; 12] = [1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5];
const TEXTBOOK: [u64; 20] = [7, 0, 1, 2, 0, 3, 0, 4, 2, 3, 0, 3, 2, 1, 2, 0, 1, 7, 0, 1];

#[test]
fn lru_misses_as_often_as_textbooks_say() {
    assert_eq!(misses(&mut Lru::new(3), BELADY), 10);
    assert_eq!(misses(&mut Lru::new(4), BELADY), 8);
    assert_eq!(misses(&mut Lru::new(3), TEXTBOOK), 12);
}

/// A linear congruential generator (Knuth, MMIX) over a skewed choice of keys.
fn trace(seed: u64, length: usize, keys: u64) -> Vec<u64> {
    let mut state = seed;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    (0..length)
        .map(|at| match next() % 4 {
            // A scan, so that policies differ.
            0 => 1_000 + at as u64 % (2 * keys),
            1 => next() % keys,
            _ => (next() % keys) * (next() % keys) / keys,
        })
        .collect()
}

fn same(plain: impl Fn(usize, &[u64]) -> u64, policy: impl Fn(usize) -> Box<dyn Policy>) {
    for (seed, capacity) in (0..120).zip((2..39).cycle()) {
        let trace = trace(seed, 1_500, 10 + seed % 90);
        let mut policy = policy(capacity);
        let counted = misses(&mut *policy, trace.iter().copied());
        assert_eq!(counted, plain(capacity, &trace), "seed {seed}, capacity {capacity}");
        assert!(policy.len() <= capacity);
    }
}

#[test]
fn lru_is_as_a_plain_list_says() {
    let plain = |capacity: usize, trace: &[u64]| {
        let (mut list, mut missed) = (Vec::new(), 0);
        for key in trace {
            match list.iter().position(|held| *held == key) {
                Some(at) => drop(list.remove(at)),
                None => missed += 1,
            }
            list.insert(0, key);
            list.truncate(capacity);
        }
        missed
    };
    same(plain, |capacity| Box::new(Lru::new(capacity)));
}

#[test]
fn lfu_is_as_a_plain_list_says() {
    let plain = |capacity: usize, trace: &[u64]| {
        let (mut list, mut missed) = (Vec::<(u64, usize, u64)>::new(), 0);
        for (now, key) in trace.iter().enumerate() {
            if let Some(held) = list.iter_mut().find(|held| held.2 == *key) {
                held.0 += 1;
                held.1 = now;
                continue;
            }
            missed += 1;
            if list.len() == capacity {
                let least = list.iter().copied().min().expect("full");
                list.retain(|held| *held != least);
            }
            list.push((1, now, *key));
        }
        missed
    };
    same(plain, |capacity| Box::new(Lfu::new(capacity)));
}

/// Moves a key to the front of a list, out of another.
fn shift(from: &mut Vec<u64>, key: u64, to: &mut Vec<u64>) {
    from.retain(|held| *held != key);
    to.insert(0, key);
}

/// The paper's text again, with lists whose front is the most recent.
fn plain_arc(c: usize, trace: &[u64]) -> u64 {
    let (mut t1, mut t2, mut b1, mut b2) = (vec![], vec![], vec![], vec![]);
    let (mut p, mut missed) = (0.0_f64, 0);
    fn replace(t: [&mut Vec<u64>; 4], x: u64, p: f64) {
        let [t1, t2, b1, b2] = t;
        if !t1.is_empty() && ((b2.contains(&x) && t1.len() as f64 == p) || t1.len() as f64 > p) {
            b1.insert(0, t1.pop().expect("not empty"));
        } else if let Some(last) = t2.pop() {
            b2.insert(0, last);
        }
    }
    for &x in trace {
        if t1.contains(&x) {
            shift(&mut t1, x, &mut t2);
            continue;
        }
        if t2.contains(&x) {
            t2.retain(|held| *held != x);
            t2.insert(0, x);
            continue;
        }
        missed += 1;
        if b1.contains(&x) {
            p = (p + f64::max(1.0, (b2.len() / b1.len()) as f64)).min(c as f64);
            replace([&mut t1, &mut t2, &mut b1, &mut b2], x, p);
            shift(&mut b1, x, &mut t2);
        } else if b2.contains(&x) {
            p = (p - f64::max(1.0, (b1.len() / b2.len()) as f64)).max(0.0);
            replace([&mut t1, &mut t2, &mut b1, &mut b2], x, p);
            shift(&mut b2, x, &mut t2);
        } else {
            if t1.len() + b1.len() == c {
                if t1.len() < c {
                    b1.pop();
                    replace([&mut t1, &mut t2, &mut b1, &mut b2], x, p);
                } else {
                    t1.pop();
                }
            } else if t1.len() + b1.len() + t2.len() + b2.len() >= c {
                if t1.len() + b1.len() + t2.len() + b2.len() == 2 * c {
                    b2.pop();
                }
                replace([&mut t1, &mut t2, &mut b1, &mut b2], x, p);
            }
            t1.insert(0, x);
        }
    }
    missed
}

#[test]
fn arc_is_as_the_papers_text_says() {
    same(plain_arc, |capacity| Box::new(Arc::new(capacity)));
}

/// The paper's algorithm with records in plain lists, heads first.
fn plain_s3_fifo(capacity: usize, trace: &[u64]) -> u64 {
    let small_max = (capacity / 10).max(1);
    let main_max = capacity - small_max;
    let (mut small, mut main) = (Vec::<(u64, u8)>::new(), Vec::<(u64, u8)>::new());
    let (mut ghost, mut missed) = (Vec::<u64>::new(), 0);
    fn evict_main(main: &mut Vec<(u64, u8)>) {
        while let Some((key, uses)) = main.pop() {
            if uses == 0 {
                return;
            }
            main.insert(0, (key, uses - 1));
        }
    }
    for &x in trace {
        if let Some(held) = small.iter_mut().chain(&mut main).find(|held| held.0 == x) {
            held.1 = (held.1 + 1).min(3);
            continue;
        }
        missed += 1;
        while small.len() + main.len() >= capacity {
            if small.len() < small_max {
                evict_main(&mut main);
                continue;
            }
            while let Some((key, uses)) = small.pop() {
                if uses <= 1 {
                    ghost.insert(0, key);
                    ghost.truncate(main_max);
                    break;
                }
                main.insert(0, (key, uses));
                if main.len() > main_max {
                    evict_main(&mut main);
                    break;
                }
            }
        }
        match ghost.iter().position(|held| *held == x) {
            Some(at) => {
                ghost.remove(at);
                main.insert(0, (x, 0));
            }
            None => small.insert(0, (x, 0)),
        }
    }
    missed
}

#[test]
fn s3_fifo_is_as_the_papers_algorithm_says() {
    same(plain_s3_fifo, |capacity| Box::new(S3Fifo::new(capacity)));
}

#[test]
fn worth_keeps_what_is_used_often_through_a_scan() {
    // Ten pages in use all the time, and a long scan between.
    let trace: Vec<u64> =
        (0..20_000).map(|at| if at % 2 == 0 { at / 2 % 10 } else { 1_000 + at }).collect();
    let ours = misses(&mut Worth::new(50), trace.iter().copied());
    assert!(ours <= 10_000 + 40, "{ours} misses, 10,010 are compulsory");
}

#[test]
fn no_policy_holds_more_than_its_capacity() {
    let policies: Vec<Box<dyn Policy>> = vec![
        Box::new(Lru::new(0)),
        Box::new(Lfu::new(0)),
        Box::new(Arc::new(0)),
        Box::new(S3Fifo::new(0)),
        Box::new(Worth::new(0)),
    ];
    for mut policy in policies {
        assert!(policy.is_empty());
        assert_eq!(misses(&mut *policy, [1, 1, 1]), 1);
        for key in 0..100 {
            policy.access(key);
            assert!((1..=2).contains(&policy.len()));
        }
    }
}
