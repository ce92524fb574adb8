//! The features and classes of a model of trees, by name and label: see `stream_retrain/models/tree_domain.py`.

use pyo3::prelude::*;
use pyo3::types::PyList;

use super::labels::Labels;
use super::rows::Rows;
use super::values::{Table, Value};
use super::{listed, ranked, Names};
use crate::block::{Read, Reader};
use crate::tree::Domain;

pub struct Known {
    pub domain: Domain,
    pub rows: Rows,
    pub labels: Labels,
}

/// The names of the features, the values of their categories, and the labels.
pub type Named<'py> = (Bound<'py, PyList>, Bound<'py, PyList>, Bound<'py, PyList>);

impl Known {
    pub fn new(py: Python, categories_max: usize) -> Known {
        Known { domain: Domain::default(), rows: Rows::new(py, categories_max), labels: Labels(Table::new(py)) }
    }

    /// The event as a row, which is not learned.
    pub fn fill(&mut self, values: &[Value]) -> PyResult<()> {
        self.rows.fill(values, &self.domain.features)
    }

    /// The event as a row, which is learned, and its class.
    pub fn learn(&mut self, values: &[Value], y: &Bound<PyAny>) -> PyResult<u32> {
        let known = self.labels.0.find_same(y)?;
        self.rows.learn(values, &mut self.domain.features)?;
        match known {
            Some(class) => Ok(class),
            None => self.add_label(y),
        }
    }

    fn add_label(&mut self, y: &Bound<PyAny>) -> PyResult<u32> {
        let class = self.labels.0.add(y)?;
        self.domain.classes = self.labels.0.names.len();
        self.domain.ranked = ranked(y.py(), &self.labels.0.names, self.labels.0.numbers.bind(y.py()))?;
        Ok(class)
    }

    /// The classes in the order of their labels.
    pub fn order(&self) -> impl Iterator<Item = usize> + '_ {
        self.domain.ranked.iter().map(|&class| class as usize)
    }

    /// The features that are withheld.
    pub fn withheld(&self, py: Python) -> Names {
        self.rows.withheld(py, &self.domain.features)
    }

    pub fn named<'py>(&self, py: Python<'py>) -> PyResult<Named<'py>> {
        let (names, categories) = self.rows.named(py)?;
        Ok((names, categories, listed(py, &self.labels.0.names)?))
    }

    /// Go on from the names of a state; how many categories each feature has.
    pub fn restore(&mut self, named: Named) -> PyResult<Vec<usize>> {
        let (names, categories, labels) = named;
        self.labels = Labels(Table::of(labels.py(), labels.as_any())?);
        self.rows.restore(&(names, categories))
    }

    /// After `restore`, the features of a state.
    pub fn read(&mut self, reader: &mut Reader) -> Read<()> {
        self.domain = Domain::read(reader, self.rows.names.names.len(), self.labels.0.names.len())?;
        Ok(())
    }

    /// After `read`, the orders of labels and categories.
    pub fn settle(&mut self, py: Python) -> PyResult<()> {
        self.domain.ranked = ranked(py, &self.labels.0.names, self.labels.0.numbers.bind(py))?;
        self.rows.settle(py, &mut self.domain.features)
    }
}
