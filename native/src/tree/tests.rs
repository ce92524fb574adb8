use super::*;
use crate::block::{Reader, Writer};
use crate::features::Feature;
use crate::usual::Range;

fn params() -> Params {
    Params { grace_period: 50.0, delta: 1e-3, tau: 0.1, depth_max: None, leaf_weight_max: LEAF_EVENTS_MAX }
}

fn noise(seed: &mut u64) -> f64 {
    *seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    (*seed >> 11) as f64 / (1u64 << 53) as f64
}

/// Two numbers and a category, and three classes.
fn domain(withheld: bool) -> Domain {
    let features = vec![
        Feature::Number(Range::new(0.0, 0.0, 0.0)),
        Feature::Number(Range::new(0.0, 0.0, 0.0)),
        Feature::Category { ranked: vec![0, 1, 2], withheld },
    ];
    Domain { features, classes: 3, ranked: vec![2, 0, 1] }
}

/// A tree after some events.
fn grown(events: usize) -> Tree {
    let (domain, mut tree) = (domain(false), Tree::new(&params()));
    let mut seed = 7;
    for _ in 0..events {
        let row = row(&mut seed);
        let score = row[0] + if row[2] == 1.0 { 0.5 } else { 0.0 };
        tree.learn(&domain, &row, if score.is_nan() || score < 0.4 { 0 } else { 1 + u32::from(score > 0.9) }, 1.0, None);
    }
    tree
}

fn row(seed: &mut u64) -> Vec<f64> {
    let mut row = vec![noise(seed), noise(seed) * 100.0, (noise(seed) * 3.0).floor()];
    for value in &mut row {
        if noise(seed) < 0.1 {
            *value = f64::NAN;
        }
    }
    row
}

fn written(tree: &Tree) -> (Vec<u8>, Vec<u8>) {
    let mut to = Writer::default();
    tree.write(&mut to);
    to.block()
}

fn read(counts: &[u8], floats: &[u8]) -> Result<Tree, crate::block::Damaged> {
    let mut tree = Tree::new(&params());
    let mut reader = Reader::new(counts, floats)?;
    tree.read(&mut reader, &domain(false), &[0, 0, 3], false)?;
    reader.end()?;
    Ok(tree)
}

#[test]
fn it_grows_and_predicts_what_it_learned() {
    let (domain, mut tree) = (domain(false), grown(3000));
    assert!(tree.shape().1 > 2, "{:?}", tree.shape());
    let mut proba = vec![];
    tree.predict(&domain, &[0.1, 50.0, 0.0], &mut proba);
    assert!(proba[0] > 0.9, "{proba:?}");
    assert!((proba.iter().sum::<f64>() - 1.0).abs() < 1e-9);
}

#[test]
fn a_tree_that_was_written_and_read_goes_on_as_one_that_never_stopped() {
    let domain = domain(false);
    for events in [0, 1, 49, 700, 2500] {
        let mut tree = grown(events);
        let (counts, floats) = written(&tree);
        let mut other = read(&counts, &floats).unwrap();
        assert_eq!(written(&other), (counts, floats));
        let mut seed = 99;
        let (mut one, mut two) = (vec![], vec![]);
        for number in 0..500 {
            let row = row(&mut seed);
            tree.predict(&domain, &row, &mut one);
            other.predict(&domain, &row, &mut two);
            assert_eq!(one, two);
            tree.learn(&domain, &row, number % 3, 1.0, None);
            other.learn(&domain, &row, number % 3, 1.0, None);
        }
        assert_eq!(written(&tree), written(&other));
    }
}

#[test]
fn damaged_bytes_are_an_error_and_never_a_panic() {
    let (counts, floats) = written(&grown(2000));
    let (domain, mut seed) = (domain(false), 3);
    for _ in 0..3000 {
        let (mut counts, mut floats) = (counts.clone(), floats.clone());
        match (noise(&mut seed) * 3.0) as u8 {
            0 => {
                let at = (noise(&mut seed) * counts.len() as f64) as usize;
                counts[at] = (noise(&mut seed) * 256.0) as u8;
            }
            1 => counts.truncate((noise(&mut seed) * counts.len() as f64) as usize / 4 * 4),
            _ => floats.truncate((noise(&mut seed) * floats.len() as f64) as usize / 8 * 8),
        }
        if let Ok(mut tree) = read(&counts, &floats) {
            let mut proba = vec![];
            for number in 0..60 {
                let row = row(&mut seed);
                tree.predict(&domain, &row, &mut proba);
                tree.learn(&domain, &row, number % 3, 1.0, None);
            }
        }
    }
}

#[test]
fn a_feature_that_is_withheld_is_forgotten_by_every_leaf() {
    let mut tree = grown(1000);
    let domain = domain(true);
    tree.withhold(2);
    assert!(tree.nodes.leaves.iter().all(|leaf| !leaf.met.contains(&2)));
    let mut seed = 5;
    for number in 0..1000 {
        let mut row = row(&mut seed);
        row[2] = f64::NAN;
        tree.learn(&domain, &row, number % 3, 1.0, None);
    }
    let (counts, floats) = written(&tree);
    assert_eq!(written(&read(&counts, &floats).unwrap()), (counts, floats));
}
