//! What the trees of a model know of features and classes: see `stream_retrain/models/tree_domain.py`.

use crate::block::{Read, Reader, Writer};
use crate::features::Feature;

/// Bytes that a leaf takes, with its nodes, beside what it keeps of features.
const LEAF_BYTES: usize = 800;
/// Bytes that a leaf takes for a feature that the model knows of, and for one that it watches.
const FEATURE_BYTES: usize = 4;
const WATCHED_BYTES: usize = 20;
/// Bytes that a leaf keeps of a class, and of a feature in it.
const CLASS_BYTES: usize = 16;
const CELL_BYTES: usize = 80;
/// Bytes that a leaf keeps of a category in a class.
const CATEGORY_BYTES: usize = 8;

#[derive(Default)]
pub struct Domain {
    pub features: Vec<Feature>,
    pub classes: usize,
    /// The classes in the order of their labels.
    pub ranked: Vec<u32>,
}

impl Domain {
    /// How many features a leaf that draws them watches of so many.
    pub fn watched(features: usize) -> usize {
        let root = (features as f64).sqrt().ceil() as usize;
        features.min(3 * root)
    }

    /// Bytes of a leaf that draws its features and has met every class.
    pub fn leaf_bytes(&self) -> usize {
        let (mut known, mut each) = (0, 0);
        for feature in self.features.iter().filter(|feature| !feature.withheld()) {
            known += 1;
            each += CELL_BYTES;
            if let Feature::Category { ranked, .. } = feature {
                each += CATEGORY_BYTES * ranked.len();
            }
        }
        let watched = Domain::watched(known);
        let kept = (each * watched).checked_div(known).unwrap_or(0);
        LEAF_BYTES + FEATURE_BYTES * self.features.len() + WATCHED_BYTES * watched + self.classes * (CLASS_BYTES + kept)
    }

    pub fn write(&self, to: &mut Writer) {
        self.features.iter().for_each(|feature| feature.write(to));
    }

    /// What `write` wrote, of so many features and classes; their orders are not known yet.
    pub fn read(reader: &mut Reader, features: usize, classes: usize) -> Read<Domain> {
        let features = (0..features).map(|_| Feature::read(reader)).collect::<Read<_>>()?;
        Ok(Domain { features, classes, ranked: vec![] })
    }
}
