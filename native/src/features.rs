//! What a tree knows of its features: see `stream_retrain/models/tree_features.py`. Here a feature and a category are numbers.
//!
//! A row has a place for each feature: NaN where it is missing, the number of a category, or `UNKNOWN` for one that was never learned.

use crate::block::{Read, Reader, Writer};
use crate::usual::Range;

pub const UNKNOWN: f64 = -1.0;
/// No place.
pub const NOWHERE: u32 = u32::MAX;

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

    pub fn is_number(&self) -> bool {
        matches!(self, Feature::Number(_))
    }

    pub fn write(&self, to: &mut Writer) {
        to.count(usize::from(self.is_number()));
        to.count(usize::from(self.withheld()));
        if let Feature::Number(range) = self {
            to.row(&[range.count, range.mean, range.variance]);
        }
    }

    /// What `write` wrote; the order of the categories is not known yet.
    pub fn read(reader: &mut Reader) -> Read<Feature> {
        let number = reader.flag()?;
        let withheld = reader.flag()?;
        Ok(match number {
            true => Feature::Number(Range::new(reader.number()?, reader.number()?, reader.number()?)),
            false => Feature::Category { ranked: vec![], withheld },
        })
    }
}
