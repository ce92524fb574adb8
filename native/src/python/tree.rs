//! `QuickTree`'s core: `stream_retrain/models/plain_tree.py` has the same one in Python.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::labels::Labels;
use super::values::{values, Kind, Table};
use super::{listed, ranked, Block, Names};
use crate::block::{Damaged, Writer};
use crate::tree::{self, Feature, Params, UNKNOWN};
use crate::usual::Range;

type State<'py> = (Bound<'py, PyList>, Bound<'py, PyList>, Bound<'py, PyList>, Bound<'py, PyAny>);

#[pyclass(module = "stream_retrain._native")]
pub struct Tree {
    tree: tree::Tree,
    categories_max: usize,
    names: Table,
    /// The categories of each feature; none of a number.
    categories: Vec<Option<Table>>,
    labels: Labels,
    row: Vec<f64>,
    proba: Vec<f64>,
}

#[pymethods]
impl Tree {
    #[new]
    fn new(py: Python, grace_period: f64, delta: f64, tau: f64, max_depth: Option<u32>, categories_max: usize) -> Tree {
        Tree {
            tree: tree::Tree::new(&Params { grace_period, delta, tau, depth_max: max_depth }),
            categories_max,
            names: Table::new(py),
            categories: vec![],
            labels: Labels(Table::new(py)),
            row: vec![],
            proba: vec![],
        }
    }

    fn predict<'py>(&mut self, x: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        self.fill(x)?;
        self.tree.predict(&self.row, &mut self.proba);
        self.labels.proba(x.py(), self.tree.ranked.iter().copied(), &self.proba)
    }

    fn learn(&mut self, x: &Bound<PyAny>, y: &Bound<PyAny>, w: f64) -> PyResult<()> {
        if w.is_nan() || w <= 0.0 {
            return Err(PyValueError::new_err(format!("the weight of an event is {w:?}; use one above 0")));
        }
        let known = self.labels.0.find(y)?;
        self.fill_and_learn(x)?;
        let class = match known {
            Some(class) => class,
            None => self.add_label(y)?,
        };
        self.tree.learn(&self.row, class, w);
        Ok(())
    }

    fn shape(&self) -> (usize, usize, usize) {
        self.tree.shape()
    }

    fn withheld(&self, py: Python) -> Names {
        let features = self.tree.features.iter().zip(&self.names.names);
        features.filter(|each| each.0.withheld()).map(|each| each.1.clone_ref(py)).collect()
    }

    fn state<'py>(&self, py: Python<'py>) -> PyResult<State<'py>> {
        let mut to = Writer::default();
        self.tree.write(&mut to);
        let none = vec![];
        let values = self.categories.iter().map(|table| listed(py, table.as_ref().map_or(&none, |table| &table.names)));
        let values = PyList::new(py, values.collect::<PyResult<Vec<_>>>()?)?;
        Ok((listed(py, &self.names.names)?, values, listed(py, &self.labels.0.names)?, Block::written(py, to)?.into_any()))
    }

    fn restore(&mut self, py: Python, state: State) -> PyResult<()> {
        let (names, values, labels, block) = state;
        self.names = Table::of(py, names.as_any())?;
        self.labels = Labels(Table::of(py, labels.as_any())?);
        let tables = values.iter().map(|held| Table::of(py, &held)).collect::<PyResult<Vec<_>>>()?;
        if tables.len() != self.names.names.len() {
            return Err(Damaged.into());
        }
        let counts: Vec<usize> = tables.iter().map(|table| table.names.len()).collect();
        let block = Block::of(&block)?;
        let mut reader = block.reader()?;
        self.tree.read(&mut reader, &counts, self.labels.0.names.len())?;
        reader.end()?;
        self.tree.ranked = ranked(py, &self.labels.0.names, self.labels.0.numbers.bind(py))?;
        for (feature, table) in self.tree.features.iter_mut().zip(tables) {
            self.categories.push(match feature {
                Feature::Number(_) => None,
                Feature::Category { ranked: order, .. } => {
                    *order = ranked(py, &table.names, table.numbers.bind(py))?;
                    Some(table)
                }
            });
        }
        Ok(())
    }
}

impl Tree {
    /// The event as a row, which is not learned.
    fn fill(&mut self, x: &Bound<PyAny>) -> PyResult<()> {
        self.row.clear();
        self.row.resize(self.tree.features.len(), f64::NAN);
        let mut hint = 0;
        for value in values(x)? {
            let Some(number) = self.names.find_near(&value.name, hint)? else {
                continue;
            };
            let at = number as usize;
            hint = at + 1;
            match (&self.tree.features[at], value.kind) {
                (Feature::Number(_), Kind::Switch) => self.row[at] = value.number,
                (Feature::Number(range), Kind::Number) => self.row[at] = range.within(value.number),
                (Feature::Category { withheld: false, .. }, Kind::Category) => {
                    if let (Some(table), Some(object)) = (&self.categories[at], &value.object) {
                        self.row[at] = table.find(object)?.map_or(UNKNOWN, f64::from);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The event as a row, which is learned: features and categories are added, and usual ranges follow.
    fn fill_and_learn(&mut self, x: &Bound<PyAny>) -> PyResult<()> {
        let values = values(x)?;
        self.row.clear();
        self.row.resize(self.tree.features.len(), f64::NAN);
        let mut hint = 0;
        for value in values {
            let at = match self.names.find_near(&value.name, hint)? {
                Some(number) => number as usize,
                None => self.add_feature(&value.name, value.kind)?,
            };
            hint = at + 1;
            match (&mut self.tree.features[at], value.kind) {
                (Feature::Number(_), Kind::Switch) => self.row[at] = value.number,
                (Feature::Number(range), Kind::Number) => {
                    let number = range.within(value.number);
                    range.observe(number);
                    self.row[at] = number;
                }
                (Feature::Category { withheld: false, .. }, Kind::Category) => {
                    if let Some(object) = &value.object {
                        self.learn_category(at, object)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn add_feature(&mut self, name: &Bound<PyAny>, kind: Kind) -> PyResult<usize> {
        let category = kind == Kind::Category;
        self.tree.features.push(match category {
            true => Feature::Category { ranked: vec![], withheld: false },
            false => Feature::Number(Range::new(0.0, 0.0, 0.0)),
        });
        self.categories.push(category.then(|| Table::new(name.py())));
        self.row.push(f64::NAN);
        Ok(self.names.add(name)? as usize)
    }

    fn learn_category(&mut self, at: usize, value: &Bound<PyAny>) -> PyResult<()> {
        let (Some(table), Feature::Category { ranked: order, withheld }) = (&mut self.categories[at], &mut self.tree.features[at]) else {
            return Ok(());
        };
        if let Some(number) = table.find(value)? {
            self.row[at] = f64::from(number);
        } else if table.names.len() >= self.categories_max {
            *withheld = true;
            self.tree.withhold(at as u32);
        } else {
            self.row[at] = f64::from(table.add(value)?);
            *order = ranked(value.py(), &table.names, table.numbers.bind(value.py()))?;
        }
        Ok(())
    }

    fn add_label(&mut self, y: &Bound<PyAny>) -> PyResult<u32> {
        let class = self.labels.0.add(y)?;
        self.tree.classes = self.labels.0.names.len();
        self.tree.ranked = ranked(y.py(), &self.labels.0.names, self.labels.0.numbers.bind(y.py()))?;
        Ok(class)
    }
}
