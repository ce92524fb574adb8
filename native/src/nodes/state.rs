//! The nodes of a tree as a state: the same bytes as `stream_retrain/models/tree_state.py` writes.

use super::{Each, Node, Nodes, Weighed};
use crate::block::{Damaged, Read, Reader, Writer};
use crate::features::Feature;

const NONE: usize = 0;
const LEAF: usize = 1;
const BY_NUMBER: usize = 2;
const BY_CATEGORY: usize = 3;
const BY_EACH: usize = 4;

impl<L: Weighed> Nodes<L> {
    /// Each branch before its children, the children in their order.
    pub fn write(&self, to: &mut Writer, write_leaf: impl Fn(&L, &mut Writer)) {
        if self.nodes.is_empty() {
            to.count(NONE);
            return;
        }
        let mut stack = vec![0u32];
        while let Some(at) = stack.pop() {
            let node = &self.nodes[at as usize];
            match node {
                Node::Leaf(slot) => {
                    to.count(LEAF);
                    write_leaf(&self.leaves[*slot as usize], to);
                }
                node => write_branch(node, to),
            }
            stack.extend(node.children().iter().rev());
        }
    }

    /// What `write` wrote, into a new tree. `categories`: how many each feature has; `read_leaf` is given the depth.
    pub fn read(
        &mut self,
        reader: &mut Reader,
        features: &[Feature],
        categories: &[usize],
        read_leaf: impl Fn(&mut Reader, u32) -> Read<L>,
    ) -> Read<()> {
        let mut open: Vec<(u32, u32, usize)> = vec![]; // a branch, its depth, and how many children it waits for
        loop {
            let depth = open.last().map_or(0, |each| each.1 + 1);
            let kind = reader.below(5)?;
            if kind == NONE {
                return if self.nodes.is_empty() { Ok(()) } else { Err(Damaged) };
            }
            let at = self.nodes.len() as u32;
            let node = if kind == LEAF {
                self.leaves.push(read_leaf(reader, depth)?);
                Node::Leaf(self.leaves.len() as u32 - 1)
            } else {
                read_branch(reader, kind, features, categories)?
            };
            let waits = node.children().len();
            self.nodes.push(node);
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
}

fn write_branch(node: &Node, to: &mut Writer) {
    match node {
        Node::Leaf(_) => {}
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

fn read_branch(reader: &mut Reader, kind: usize, features: &[Feature], categories: &[usize]) -> Read<Node> {
    let feature = reader.below(features.len())?;
    if (kind == BY_NUMBER) != features[feature].is_number() {
        return Err(Damaged);
    }
    let (number, known) = (feature as u32, categories[feature]);
    Ok(match kind {
        BY_NUMBER => Node::Number { feature: number, threshold: reader.number()?, children: [0, 0] },
        BY_CATEGORY => Node::One { feature: number, category: reader.below(known)? as u32, children: [0, 0] },
        _ => {
            let count = reader.below(known + 1)?;
            let mut each = Each::new(number);
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
    })
}
