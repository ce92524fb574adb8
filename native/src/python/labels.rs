//! The labels of a classifier, by the number of the class.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::values::Table;

/// Labels in the order in which they were first learned.
pub struct Labels(pub Table);

impl Labels {
    /// The probabilities by label, the classes in an order.
    pub fn proba<'py>(&self, py: Python<'py>, order: impl Iterator<Item = u32>, proba: &[f64]) -> PyResult<Bound<'py, PyDict>> {
        let made = PyDict::new(py);
        for class in order {
            made.set_item(&self.0.names[class as usize], proba[class as usize])?;
        }
        Ok(made)
    }
}
