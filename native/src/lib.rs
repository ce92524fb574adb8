//! The models of stream_retrain, compiled. Each equals its twin in `stream_retrain/models` to the last bit, and reads and writes its states.
//!
//! `tree` and `additive` know rows of numbers and classes by number. `python` gives them names, labels and categories.
#![forbid(unsafe_code)]

pub mod additive;
pub mod adwin;
pub mod arithmetic;
pub mod block;
pub mod detector;
pub mod features;
pub mod forest;
pub mod forest_regressor;
pub mod generator;
pub mod moments;
pub mod nearest;
pub mod nodes;
pub mod poisson;
#[cfg(feature = "python")]
mod python;
pub mod regression;
pub mod stacking;
pub mod stacking_regressor;
pub mod targets;
pub mod tree;
pub mod usual;
pub mod weight;
pub mod wood;
