//! The branches of a tree and the way down: see `stream_retrain/models/tree_branch.py`. The leaves are those of one kind of tree.

mod state;

use crate::features::NOWHERE;

/// What a branch must know of the leaves below it.
pub trait Weighed {
    /// The weight of its events.
    fn total(&self) -> f64;
}

/// How a branch tells events apart.
pub enum By {
    Nothing,
    Number(f64),
    One(u32),
    Each(Vec<u32>),
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
    fn new(feature: u32) -> Each {
        Each { feature, categories: vec![], children: vec![], places: vec![] }
    }

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

    /// The child that an event goes to; None where the feature is missing or there is no child for the category.
    #[inline(always)]
    fn next(&self, row: &[f64]) -> Option<u32> {
        match self {
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
}

/// Where an event comes to.
#[derive(Clone, Copy)]
pub struct Way {
    node: u32,
    /// Of the leaf.
    pub slot: usize,
    /// Whether it took the branch of the greatest weight, or a new one.
    pub detour: bool,
}

pub struct Nodes<L> {
    nodes: Vec<Node>,
    pub leaves: Vec<L>,
}

impl<L> Default for Nodes<L> {
    fn default() -> Nodes<L> {
        Nodes { nodes: vec![], leaves: vec![] }
    }
}

impl<L: Weighed> Nodes<L> {
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
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

    /// The leaf of an event; there is one.
    #[inline]
    pub fn down(&self, row: &[f64]) -> Way {
        let (mut at, mut detour) = (0, false);
        loop {
            match &self.nodes[at as usize] {
                Node::Leaf(slot) => return Way { node: at, slot: *slot as usize, detour },
                node => {
                    at = node.next(row).unwrap_or_else(|| {
                        detour = true;
                        self.heaviest(node)
                    });
                }
            }
        }
    }

    /// The first leaf, of a tree without any.
    pub fn begin(&mut self, leaf: L) {
        self.leaves.push(leaf);
        self.nodes.push(Node::Leaf(0));
    }

    /// The leaf of an event that is learned; there is one. A category that is new at a branch for each gets a leaf there, if there may be one.
    pub fn down_to_learn(&mut self, row: &[f64], new: impl FnOnce(u32) -> Option<L>) -> Way {
        let mut new = Some(new);
        let (mut at, mut detour, mut depth) = (0u32, false, 0u32);
        loop {
            let node = &self.nodes[at as usize];
            if let Node::Leaf(slot) = node {
                return Way { node: at, slot: *slot as usize, detour };
            }
            depth += 1;
            at = match node.next(row) {
                Some(next) => next,
                None => {
                    detour = true;
                    match node {
                        Node::Each(each) if row[each.feature as usize] >= 0.0 => {
                            let category = row[each.feature as usize] as u32;
                            match new.take().and_then(|new| new(depth)) {
                                Some(leaf) => return self.add_child(at, category, leaf),
                                None => self.heaviest(node),
                            }
                        }
                        node => self.heaviest(node),
                    }
                }
            }
        }
    }

    fn add_child(&mut self, at: u32, category: u32, leaf: L) -> Way {
        let (child, slot) = (self.nodes.len() as u32, self.leaves.len());
        self.leaves.push(leaf);
        self.nodes.push(Node::Leaf(slot as u32));
        if let Node::Each(each) = &mut self.nodes[at as usize] {
            each.add(category, child);
        }
        Way { node: child, slot, detour: true }
    }

    /// Make a branch of the leaf that a way led to.
    pub fn branch(&mut self, way: &Way, feature: u32, by: &By, leaves: Vec<L>) {
        let mut children = vec![];
        for (number, leaf) in leaves.into_iter().enumerate() {
            children.push(self.nodes.len() as u32);
            if number == 0 {
                self.nodes.push(Node::Leaf(way.slot as u32));
                self.leaves[way.slot] = leaf;
            } else {
                self.nodes.push(Node::Leaf(self.leaves.len() as u32));
                self.leaves.push(leaf);
            }
        }
        self.nodes[way.node as usize] = match by {
            By::Number(threshold) => Node::Number { feature, threshold: *threshold, children: [children[0], children[1]] },
            By::One(category) => Node::One { feature, category: *category, children: [children[0], children[1]] },
            By::Each(values) => {
                let mut each = Each::new(feature);
                values.iter().zip(children).for_each(|(&category, child)| each.add(category, child));
                Node::Each(Box::new(each))
            }
            By::Nothing => return,
        };
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
