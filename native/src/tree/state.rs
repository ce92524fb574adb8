//! A tree as a state: the same bytes as `stream_retrain/models/tree_leaf.py` writes.

use super::chance::Watched;
use super::leaf::Leaf;
use super::observers::Counts;
use super::{Domain, Tree};
use crate::block::{Damaged, Read, Reader, Writer};
use crate::features::Feature;

/// A leaf of a state has no more places for a class and a feature.
const CELLS_MAX: usize = 1 << 24;

impl Tree {
    pub fn write(&self, to: &mut Writer) {
        self.nodes.write(to, write_leaf);
    }

    /// What `write` wrote, into a new tree. `categories`: how many each feature has; `watches`: its leaves draw features.
    pub fn read(&mut self, reader: &mut Reader, domain: &Domain, categories: &[usize], watches: bool) -> Read<()> {
        let known = Known { features: &domain.features, categories, classes: domain.classes };
        self.nodes.read(reader, &domain.features, categories, |reader, depth| {
            let mut leaf = known.leaf(reader, depth)?;
            if watches {
                leaf.watched = Some(Watched::read(reader, domain.features.len(), Domain::watched)?);
            }
            Ok(leaf)
        })
    }
}

fn write_leaf(leaf: &Leaf, to: &mut Writer) {
    write_kept(leaf, to);
    if let Some(watched) = &leaf.watched {
        watched.write(to);
    }
}

fn write_kept(leaf: &Leaf, to: &mut Writer) {
    [usize::from(leaf.active), leaf.classes.len()].into_iter().for_each(|count| to.count(count));
    to.row(&[leaf.majority_right, leaf.bayes_right, leaf.tried_at]);
    for (&class, &weight) in leaf.classes.iter().zip(&leaf.weights) {
        to.count(class as usize);
        to.number(weight);
    }
    if !leaf.active {
        return;
    }
    to.count(leaf.met.len());
    let mut classes = vec![];
    for (place, &feature) in leaf.met.iter().enumerate() {
        to.count(feature as usize);
        match &leaf.counts[place] {
            Some(counts) => write_counts(leaf, counts, to),
            None => {
                leaf.classes_of(place, &mut classes);
                to.count(classes.len());
                for &class in &classes {
                    let cell = leaf.cell(class, place);
                    to.count(leaf.classes[class] as usize);
                    to.row(&[cell.count, cell.mean, cell.squares, cell.low, cell.high]);
                }
            }
        }
    }
}

/// What a leaf may say.
struct Known<'a> {
    features: &'a [Feature],
    categories: &'a [usize],
    classes: usize,
}

impl Known<'_> {
    fn leaf(&self, reader: &mut Reader, depth: u32) -> Read<Leaf> {
        let mut leaf = Leaf::new(depth);
        let active = reader.flag()?;
        let classes = reader.below(self.classes + 1)?;
        leaf.majority_right = reader.number()?;
        leaf.bayes_right = reader.number()?;
        leaf.tried_at = reader.number()?;
        for _ in 0..classes {
            let class = reader.below(self.classes)? as u32;
            if leaf.classes.contains(&class) {
                return Err(Damaged);
            }
            leaf.classes.push(class);
            leaf.weights.push(reader.number()?);
        }
        if !active {
            leaf.deactivate();
            return Ok(leaf);
        }
        let met = reader.below(self.features.len() + 1)?;
        if met * classes > CELLS_MAX {
            return Err(Damaged);
        }
        leaf.widen(met);
        for _ in 0..met {
            self.observer(reader, &mut leaf)?;
        }
        leaf.settle();
        Ok(leaf)
    }

    fn observer(&self, reader: &mut Reader, leaf: &mut Leaf) -> Read<()> {
        let feature = reader.below(self.features.len())?;
        if leaf.met.contains(&(feature as u32)) {
            return Err(Damaged);
        }
        let place = leaf.met.len();
        leaf.meet(feature as u32, self.features[feature].is_number());
        let count = reader.below(leaf.classes.len() + 1)?;
        for rank in 0..count {
            let class = reader.count()? as u32;
            let class = leaf.classes.iter().position(|&each| each == class).ok_or(Damaged)?;
            if let Some(counts) = &mut leaf.counts[place] {
                read_counts(reader, counts, class, self.categories[feature])?;
                continue;
            }
            let cell = leaf.cell_mut(class, place);
            if cell.count != 0.0 {
                return Err(Damaged);
            }
            cell.count = reader.number()?;
            cell.mean = reader.number()?;
            cell.squares = reader.number()?;
            cell.low = reader.number()?;
            cell.high = reader.number()?;
            cell.rank = rank as u32;
        }
        Ok(())
    }
}

/// Each class in the order of the tree's, with its total and its categories in the order of their numbers.
fn write_counts(leaf: &Leaf, counts: &Counts, to: &mut Writer) {
    let mut held: Vec<usize> = (0..counts.totals.len()).filter(|&class| counts.totals[class] > 0.0).collect();
    held.sort_by_key(|&class| leaf.classes[class]);
    to.count(held.len());
    for class in held {
        let weights = &counts.weights[class];
        to.count(leaf.classes[class] as usize);
        to.count(weights.iter().filter(|&&weight| weight > 0.0).count());
        to.number(counts.totals[class]);
        for (category, &weight) in weights.iter().enumerate().filter(|each| *each.1 > 0.0) {
            to.count(category);
            to.number(weight);
        }
    }
}

fn read_counts(reader: &mut Reader, counts: &mut Counts, class: usize, categories: usize) -> Read<()> {
    let length = reader.below(categories + 1)?;
    let total = reader.number()?;
    for _ in 0..length {
        let category = reader.below(categories)?;
        *counts.at(category, class) = reader.number()?;
    }
    counts.totals.resize(counts.totals.len().max(class + 1), 0.0);
    counts.weights.resize_with(counts.totals.len(), Vec::new);
    counts.totals[class] = total;
    Ok(())
}
