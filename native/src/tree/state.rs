//! A tree as a state: the same bytes as `stream_retrain/models/tree_state.py` and `tree_features.py` write.

use super::leaf::Leaf;
use super::observers::Counts;
use super::{Each, Feature, Node, Tree};
use crate::block::{Damaged, Read, Reader, Writer};
use crate::usual::Range;

const NONE: usize = 0;
const LEAF: usize = 1;
const BY_NUMBER: usize = 2;
const BY_CATEGORY: usize = 3;
const BY_EACH: usize = 4;
/// A leaf of a state has no more places for a class and a feature.
const CELLS_MAX: usize = 1 << 24;

impl Tree {
    pub fn write(&self, to: &mut Writer) {
        for feature in &self.features {
            to.count(usize::from(matches!(feature, Feature::Number(_))));
            to.count(usize::from(feature.withheld()));
            if let Feature::Number(range) = feature {
                to.row(&[range.count, range.mean, range.variance]);
            }
        }
        if self.nodes.is_empty() {
            to.count(NONE);
            return;
        }
        let mut stack = vec![0u32];
        while let Some(at) = stack.pop() {
            let node = &self.nodes[at as usize];
            self.write_node(node, to);
            stack.extend(node.children().iter().rev());
        }
    }

    fn write_node(&self, node: &Node, to: &mut Writer) {
        match node {
            Node::Leaf(slot) => self.write_leaf(&self.leaves[*slot as usize], to),
            Node::Number { feature, threshold, .. } => {
                to.count(BY_NUMBER);
                to.count(*feature as usize);
                to.number(*threshold);
            }
            Node::One { feature, category, .. } => {
                [BY_CATEGORY, *feature as usize, *category as usize].into_iter().for_each(|count| to.count(count));
            }
            Node::Each(each) => {
                [BY_EACH, each.feature as usize, each.children.len()].into_iter().for_each(|count| to.count(count));
                each.categories.iter().for_each(|&category| to.count(category as usize));
            }
        }
    }

    fn write_leaf(&self, leaf: &Leaf, to: &mut Writer) {
        [LEAF, usize::from(leaf.active), leaf.classes.len()].into_iter().for_each(|count| to.count(count));
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

    /// What `write` wrote, into a new tree. `categories`: how many each feature has; `classes`: how many the tree has.
    pub fn read(&mut self, reader: &mut Reader, categories: &[usize], classes: usize) -> Read<()> {
        self.classes = classes;
        for _ in categories {
            let number = reader.flag()?;
            let withheld = reader.flag()?;
            self.features.push(match number {
                true => Feature::Number(Range::new(reader.number()?, reader.number()?, reader.number()?)),
                false => Feature::Category { ranked: vec![], withheld },
            });
        }
        let mut open: Vec<(u32, u32, usize)> = vec![]; // a branch, its depth, and how many children it waits for
        loop {
            let depth = open.last().map_or(0, |each| each.1 + 1);
            let kind = reader.below(5)?;
            if kind == NONE {
                return if self.nodes.is_empty() { Ok(()) } else { Err(Damaged) };
            }
            let at = self.nodes.len() as u32;
            let waits = match kind {
                LEAF => self.read_leaf(reader, depth, categories)?,
                _ => self.read_branch(reader, kind, categories)?,
            };
            if let Some((parent, parent_depth, left)) = open.pop() {
                self.adopt(parent, at);
                if left > 1 {
                    open.push((parent, parent_depth, left - 1));
                }
            }
            if waits > 0 {
                open.push((at, depth, waits));
            }
            if open.is_empty() {
                return Ok(());
            }
        }
    }

    /// The next child of a branch; 0 stands in `children` where it waits for one.
    fn adopt(&mut self, parent: u32, child: u32) {
        match &mut self.nodes[parent as usize] {
            Node::Number { children, .. } | Node::One { children, .. } => {
                let place = usize::from(children[0] != 0);
                children[place] = child;
            }
            Node::Each(each) => {
                if let Some(place) = each.children.iter().position(|&each| each == 0) {
                    each.children[place] = child;
                }
            }
            Node::Leaf(_) => {}
        }
    }

    fn read_branch(&mut self, reader: &mut Reader, kind: usize, categories: &[usize]) -> Read<usize> {
        let feature = reader.below(self.features.len())?;
        if (kind == BY_NUMBER) != matches!(self.features[feature], Feature::Number(_)) {
            return Err(Damaged);
        }
        let (number, known) = (feature as u32, categories[feature]);
        let node = match kind {
            BY_NUMBER => Node::Number { feature: number, threshold: reader.number()?, children: [0, 0] },
            BY_CATEGORY => Node::One { feature: number, category: reader.below(known)? as u32, children: [0, 0] },
            _ => {
                let count = reader.below(known + 1)?;
                let mut each = Each { feature: number, categories: vec![], children: vec![], places: vec![] };
                for _ in 0..count {
                    let category = reader.below(known)? as u32;
                    if each.categories.contains(&category) {
                        return Err(Damaged);
                    }
                    each.add(category, 0);
                }
                if count == 0 {
                    return Err(Damaged);
                }
                Node::Each(Box::new(each))
            }
        };
        let waits = node.children().len();
        self.nodes.push(node);
        Ok(waits)
    }

    fn read_leaf(&mut self, reader: &mut Reader, depth: u32, categories: &[usize]) -> Read<usize> {
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
        if active {
            let met = reader.below(self.features.len() + 1)?;
            if met * classes > CELLS_MAX {
                return Err(Damaged);
            }
            for _ in 0..met {
                self.read_observer(reader, &mut leaf, categories)?;
            }
        } else {
            leaf.deactivate();
        }
        self.nodes.push(Node::Leaf(self.leaves.len() as u32));
        self.leaves.push(leaf);
        Ok(0)
    }

    fn read_observer(&self, reader: &mut Reader, leaf: &mut Leaf, categories: &[usize]) -> Read<()> {
        let feature = reader.below(self.features.len())?;
        if leaf.met.contains(&(feature as u32)) {
            return Err(Damaged);
        }
        let place = leaf.met.len();
        leaf.meet(feature as u32);
        let count = reader.below(leaf.classes.len() + 1)?;
        let number = matches!(self.features[feature], Feature::Number(_));
        if !number {
            leaf.counts[place] = Some(Box::default());
        }
        for rank in 0..count {
            let class = reader.count()? as u32;
            let class = leaf.classes.iter().position(|&each| each == class).ok_or(Damaged)?;
            if let Some(counts) = &mut leaf.counts[place] {
                read_counts(reader, counts, class, categories[feature])?;
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
            cell.settle();
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
