//! `QuickTree`: see `stream_retrain/models/plain_tree.py` for the theory. Here a feature, a class and a category are numbers.
//!
//! A row has a place for each feature: NaN where it is missing, the number of a category, or `UNKNOWN` for one that was never learned.

mod grow;
mod leaf;
mod observers;
mod state;

use crate::arithmetic::log;
use crate::usual::Range;
use leaf::Leaf;

pub const UNKNOWN: f64 = -1.0;
const NOWHERE: u32 = u32::MAX;

/// What a tree knows of one feature.
pub enum Feature {
    Number(Range),
    Category {
        /// The categories in order.
        ranked: Vec<u32>,
        withheld: bool,
    },
}

impl Feature {
    pub fn withheld(&self) -> bool {
        matches!(self, Feature::Category { withheld: true, .. })
    }
}

enum Node {
    Leaf(u32),
    Number { feature: u32, threshold: f64, children: [u32; 2] },
    One { feature: u32, category: u32, children: [u32; 2] },
    Each(Box<Each>),
}

/// A branch with a child for each category.
struct Each {
    feature: u32,
    /// The categories in the order of the children.
    categories: Vec<u32>,
    children: Vec<u32>,
    /// By category, its place among the children.
    places: Vec<u32>,
}

impl Each {
    fn add(&mut self, category: u32, child: u32) {
        let at = category as usize;
        if self.places.len() <= at {
            self.places.resize(at + 1, NOWHERE);
        }
        self.places[at] = self.children.len() as u32;
        self.categories.push(category);
        self.children.push(child);
    }
}

impl Node {
    fn children(&self) -> &[u32] {
        match self {
            Node::Leaf(_) => &[],
            Node::Number { children, .. } | Node::One { children, .. } => children,
            Node::Each(each) => &each.children,
        }
    }
}

pub struct Params {
    pub grace_period: f64,
    pub delta: f64,
    pub tau: f64,
    /// None: any.
    pub depth_max: Option<u32>,
}

pub struct Tree {
    pub features: Vec<Feature>,
    pub classes: usize,
    /// The classes in the order of their labels.
    pub ranked: Vec<u32>,
    grace_period: f64,
    delta_log: f64,
    tau: f64,
    depth_max: u32,
    nodes: Vec<Node>,
    leaves: Vec<Leaf>,
    scratch: grow::Scratch,
    last: Last,
}

/// The votes of the last event: no part of the state.
#[derive(Default)]
struct Last {
    /// The leaf whose votes they are.
    leaf: Option<u32>,
    row: Vec<f64>,
    votes: Vec<f64>,
}

impl Last {
    fn has(&self, leaf: u32, row: &[f64]) -> bool {
        self.leaf == Some(leaf) && self.row.len() == row.len() && self.row.iter().zip(row).all(|(one, other)| one.to_bits() == other.to_bits())
    }
}

impl Tree {
    pub fn new(params: &Params) -> Tree {
        Tree {
            features: vec![],
            classes: 0,
            ranked: vec![],
            grace_period: params.grace_period,
            delta_log: log(1.0 / params.delta),
            tau: params.tau,
            depth_max: params.depth_max.unwrap_or(u32::MAX),
            nodes: vec![],
            leaves: vec![],
            scratch: grow::Scratch::default(),
            last: Last::default(),
        }
    }

    /// The probability of every class, in the order of their numbers.
    pub fn predict(&mut self, row: &[f64], proba: &mut Vec<f64>) {
        proba.clear();
        proba.resize(self.classes, 0.0);
        if self.nodes.is_empty() {
            return;
        }
        let slot = self.down(row);
        if self.leaves[slot as usize].votes_by_bayes() {
            self.ask(slot, row);
            for (&class, &vote) in self.leaves[slot as usize].classes.iter().zip(&self.last.votes) {
                proba[class as usize] = vote;
            }
        } else {
            self.leaves[slot as usize].majority(proba);
        }
    }

    /// The event's votes of naive Bayes, in `last`; empty before any event.
    fn ask(&mut self, slot: u32, row: &[f64]) {
        if !self.last.has(slot, row) {
            self.leaves[slot as usize].bayes(row, &self.features, &mut self.last.votes);
            self.last.leaf = Some(slot);
            self.last.row.clear();
            self.last.row.extend_from_slice(row);
        }
    }

    /// Learn one event of a class, which counts `w` times.
    pub fn learn(&mut self, row: &[f64], class: u32, w: f64) {
        if self.nodes.is_empty() {
            self.leaves.push(Leaf::new(0));
            self.nodes.push(Node::Leaf(0));
        }
        let (node, slot, detour) = self.down_to_learn(row);
        if self.leaves[slot as usize].active {
            self.ask(slot, row);
        }
        let leaf = &mut self.leaves[slot as usize];
        leaf.learn(row, class, w, &self.features, &self.last.votes);
        self.last.leaf = None;
        if detour || !leaf.active {
            return;
        }
        if leaf.depth >= self.depth_max {
            leaf.deactivate();
            return;
        }
        let total = leaf.total();
        if total - leaf.tried_at >= self.grace_period && !self.split(node, slot, total) {
            self.leaves[slot as usize].tried_at = total;
        }
    }

    /// Forget what leaves keep of a feature that is withheld from now on.
    pub fn withhold(&mut self, feature: u32) {
        self.leaves.iter_mut().for_each(|leaf| leaf.withhold(feature));
        self.last.leaf = None;
    }

    /// Nodes, leaves and height.
    pub fn shape(&self) -> (usize, usize, usize) {
        let (mut height, mut stack) = (0, vec![]);
        if !self.nodes.is_empty() {
            stack.push((0u32, 1usize));
        }
        while let Some((at, level)) = stack.pop() {
            height = height.max(level);
            stack.extend(self.nodes[at as usize].children().iter().map(|&child| (child, level + 1)));
        }
        (self.nodes.len(), self.leaves.len(), height)
    }

    /// The leaf of an event.
    #[inline]
    fn down(&self, row: &[f64]) -> u32 {
        let mut at = 0;
        loop {
            match &self.nodes[at as usize] {
                Node::Leaf(slot) => return *slot,
                node => at = self.next(node, row).unwrap_or_else(|| self.heaviest(node)),
            }
        }
    }

    /// The node and the leaf of an event, and whether it took the branch of the greatest weight; a category that is new at a branch for each
    /// gets a leaf there.
    fn down_to_learn(&mut self, row: &[f64]) -> (u32, u32, bool) {
        let (mut at, mut detour, mut depth) = (0u32, false, 0u32);
        loop {
            let node = &self.nodes[at as usize];
            if let Node::Leaf(slot) = node {
                return (at, *slot, detour);
            }
            depth += 1;
            at = match self.next(node, row) {
                Some(next) => next,
                None => {
                    detour = true;
                    match node {
                        Node::Each(each) if row[each.feature as usize] >= 0.0 => {
                            let category = row[each.feature as usize] as u32;
                            return self.add_child(at, category, depth);
                        }
                        node => self.heaviest(node),
                    }
                }
            }
        }
    }

    fn add_child(&mut self, at: u32, category: u32, depth: u32) -> (u32, u32, bool) {
        let (child, slot) = (self.nodes.len() as u32, self.leaves.len() as u32);
        self.leaves.push(Leaf::new(depth));
        self.nodes.push(Node::Leaf(slot));
        if let Node::Each(each) = &mut self.nodes[at as usize] {
            each.add(category, child);
        }
        (child, slot, true)
    }

    /// The child that an event goes to; None where the feature is missing or there is no child for the category.
    #[inline(always)]
    fn next(&self, node: &Node, row: &[f64]) -> Option<u32> {
        match node {
            Node::Number { feature, threshold, children } => {
                let value = row[*feature as usize];
                if value <= *threshold {
                    Some(children[0])
                } else if value > *threshold {
                    Some(children[1])
                } else {
                    None
                }
            }
            Node::One { feature, category, children } => {
                let value = row[*feature as usize];
                match value.is_nan() {
                    true => None,
                    false => Some(children[usize::from(value != f64::from(*category))]),
                }
            }
            Node::Each(each) => {
                let value = row[each.feature as usize];
                let place = *each.places.get(value as usize).filter(|_| value >= 0.0)?;
                each.children.get(place as usize).copied()
            }
            Node::Leaf(_) => None,
        }
    }

    /// The child of the greatest weight; the first of equal ones.
    fn heaviest(&self, node: &Node) -> u32 {
        let mut children = node.children().iter();
        let mut best = *children.next().unwrap_or(&0);
        let mut most = self.weight(best);
        for &child in children {
            let weight = self.weight(child);
            if weight > most {
                (best, most) = (child, weight);
            }
        }
        best
    }

    /// The weight of all leaves below a node.
    fn weight(&self, at: u32) -> f64 {
        match &self.nodes[at as usize] {
            Node::Leaf(slot) => self.leaves[*slot as usize].total(),
            node => node.children().iter().fold(0.0, |total, &child| total + self.weight(child)),
        }
    }
}

#[cfg(test)]
mod tests;
