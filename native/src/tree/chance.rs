//! What trees of a forest draw: see `stream_retrain/models/tree_chance.py`.

use crate::block::{Damaged, Read, Reader, Writer};
use crate::features::Feature;
use crate::generator::Generator;

/// How a tree of a forest learns otherwise than one that stands alone.
pub struct Chance<'a> {
    pub generator: &'a mut Generator,
    /// Thresholds that are tried for a number.
    pub cuts: u32,
    /// All trees of the forest have no more bytes.
    pub memory_max: usize,
    /// Leaves of the other trees.
    pub others: usize,
}

impl Chance<'_> {
    /// How many leaves of so many bytes a tree with so many may still add.
    pub fn room(&self, leaves: usize, leaf_bytes: usize) -> usize {
        (self.memory_max / leaf_bytes).saturating_sub(self.others + leaves)
    }

    /// A threshold between the least and the greatest value.
    pub fn threshold(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.generator.unit()
    }
}

/// The features that a leaf watches, in their order.
pub struct Watched {
    pub features: Vec<u32>,
    /// It has decided about so many features.
    decided: usize,
    /// How many it watches of so many.
    most: fn(usize) -> usize,
}

impl Watched {
    /// Some of the features that are known.
    pub fn drawn(features: &[Feature], generator: &mut Generator, most: fn(usize) -> usize) -> Watched {
        let mut drawn = usable(features);
        let count = most(drawn.len());
        if count < drawn.len() {
            for place in 0..count {
                let other = place + generator.below(drawn.len() - place);
                drawn.swap(place, other);
            }
            drawn.truncate(count);
            drawn.sort_unstable();
        }
        Watched { features: drawn, decided: features.len(), most }
    }

    /// Features that are new are watched while there is room.
    #[inline]
    pub fn follow(&mut self, features: &[Feature]) {
        if self.decided < features.len() {
            self.decide(features);
        }
    }

    #[inline(never)]
    fn decide(&mut self, features: &[Feature]) {
        let most = (self.most)(usable(features).len());
        for (number, feature) in features.iter().enumerate().skip(self.decided) {
            if self.features.len() < most && !feature.withheld() {
                self.features.push(number as u32);
            }
        }
        self.decided = features.len();
    }

    pub fn write(&self, to: &mut Writer) {
        to.count(self.decided);
        to.count(self.features.len());
        self.features.iter().for_each(|&feature| to.count(feature as usize));
    }

    /// What `write` wrote, of so many features.
    pub fn read(reader: &mut Reader, features: usize, most: fn(usize) -> usize) -> Read<Watched> {
        let decided = reader.below(features + 1)?;
        let mut watched = Watched { features: vec![], decided, most };
        for _ in 0..reader.below(decided + 1)? {
            let feature = reader.below(decided)? as u32;
            if watched.features.last().is_some_and(|&last| feature <= last) {
                return Err(Damaged);
            }
            watched.features.push(feature);
        }
        Ok(watched)
    }
}

fn usable(features: &[Feature]) -> Vec<u32> {
    (0..features.len() as u32).filter(|&feature| !features[feature as usize].withheld()).collect()
}
