//! The window of the nearest neighbors with names and categories: see `stream_retrain/models/plain_nearest.py`.

use pyo3::prelude::*;
use pyo3::types::PyList;

use super::values::{Kind, Table, Value};
use super::{listed, ranked, Block, Names};
use crate::block::{Damaged, Reader, Writer};
use crate::nearest::relevance::Taught;
use crate::nearest::{Feature, Made, Nearest, CATEGORIES_MAX, FEATURES_MAX, UNKNOWN};

/// The names of the features, the categories of each, the labels, and the numbers.
pub type State<'py> = (Bound<'py, PyList>, Bound<'py, PyList>, Bound<'py, PyList>, Bound<'py, PyAny>);

/// Names and categories around the window, which both tasks share.
pub struct NamedWindow {
    pub nearest: Nearest,
    pub made: Made,
    names: Table,
    /// Of each feature; none of a number.
    categories: Vec<Option<Table>>,
    /// Of the event that is learned next, which was asked about: whether every value has a number.
    pub next: Option<bool>,
}

impl NamedWindow {
    pub fn new(py: Python, made: Made) -> NamedWindow {
        NamedWindow { nearest: Nearest::new(made), made, names: Table::new(py), categories: vec![], next: None }
    }

    /// Encode an event; whether every value has a number that can have one.
    pub fn encode(&mut self, values: &[Value]) -> PyResult<bool> {
        self.next = None;
        self.nearest.begin();
        let (mut complete, mut hint) = (true, 0);
        for value in values {
            let Some(number) = self.names.find_near(&value.name, hint)? else {
                complete &= self.names.names.len() >= FEATURES_MAX;
                continue;
            };
            let feature = number as usize;
            hint = feature + 1;
            match (&self.categories[feature], value.kind) {
                (None, Kind::Number) => self.nearest.row[feature] = value.number,
                (Some(table), Kind::Switch | Kind::Category) => {
                    let number = match table.find(&value.object)? {
                        Some(number) => f64::from(number),
                        None if table.names.len() >= CATEGORIES_MAX => CATEGORIES_MAX as f64,
                        None => UNKNOWN,
                    };
                    complete &= number != UNKNOWN;
                    self.nearest.row[feature] = number;
                }
                _ => {}
            }
        }
        Ok(complete)
    }

    /// Give numbers to the features and categories of an event that have none.
    fn admit(&mut self, values: &[Value]) -> PyResult<()> {
        self.add_features(values)?;
        for value in values.iter().filter(|value| value.kind != Kind::Number) {
            let Some(feature) = self.names.find(&value.name)? else {
                continue;
            };
            if let Some(table) = &mut self.categories[feature as usize] {
                if table.names.len() < CATEGORIES_MAX && table.find(&value.object)?.is_none() {
                    table.add(&value.object)?;
                }
            }
        }
        Ok(())
    }

    /// Those that come in one event come in the order of their names.
    fn add_features(&mut self, values: &[Value]) -> PyResult<()> {
        let mut unknown = vec![];
        for value in values {
            if self.names.find(&value.name)?.is_none() {
                unknown.push(value);
            }
        }
        let room = FEATURES_MAX - self.names.names.len();
        let Some(py) = unknown.first().filter(|_| room > 0).map(|first| first.name.py()) else {
            return Ok(());
        };
        let names = PyList::new(py, unknown.iter().map(|value| &value.name))?;
        let table = Table::of(py, names.as_any())?;
        for number in ranked(py, &table.names, table.numbers.bind(py))?.into_iter().take(room) {
            let value = unknown[number as usize];
            self.names.add(&value.name)?;
            if value.kind == Kind::Number {
                self.nearest.add_number();
                self.categories.push(None);
            } else {
                self.nearest.add_categories();
                self.categories.push(Some(Table::new(py)));
            }
        }
        Ok(())
    }

    /// Encode an event and find its neighbors.
    pub fn search(&mut self, values: &[Value]) -> PyResult<()> {
        self.next = Some(self.encode(values)?);
        self.nearest.search();
        Ok(())
    }

    /// Learn an event that is encoded; its place in the window.
    pub fn learn(&mut self, values: &[Value], complete: bool, taught: Taught) -> PyResult<usize> {
        if !complete {
            self.admit(values)?;
            self.encode(values)?;
        }
        Ok(self.nearest.learn(taught))
    }

    pub fn state<'py>(&self, py: Python<'py>, labels: &Names, to: Writer) -> PyResult<State<'py>> {
        let none = vec![];
        let held = self.categories.iter().map(|table| listed(py, table.as_ref().map_or(&none, |table| &table.names)));
        let categories = PyList::new(py, held.collect::<PyResult<Vec<_>>>()?)?;
        Ok((listed(py, &self.names.names)?, categories, listed(py, labels)?, Block::written(py, to)?.into_any()))
    }

    /// Go on from a state, but for the outcomes; how many rows there are.
    pub fn restore(&mut self, state: &State, reader: &mut Reader) -> PyResult<usize> {
        let py = state.0.py();
        *self = NamedWindow::new(py, self.made);
        self.names = Table::of(py, state.0.as_any())?;
        let tables = state.1.iter().map(|held| Table::of(py, &held)).collect::<PyResult<Vec<_>>>()?;
        if tables.len() != self.names.names.len() {
            return Err(Damaged.into());
        }
        let rows = self.nearest.read(reader, tables.len())?;
        for (feature, table) in self.nearest.features.iter().zip(tables) {
            let is_category = matches!(feature, Feature::Category(_));
            if table.names.len() > if is_category { CATEGORIES_MAX } else { 0 } {
                return Err(Damaged.into());
            }
            self.categories.push(is_category.then_some(table));
        }
        Ok(rows)
    }
}
