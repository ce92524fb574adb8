//! An event as a row of a tree: see `FeatureTable` in `stream_retrain/models/tree_features.py`.

use pyo3::prelude::*;
use pyo3::types::PyList;

use super::values::{Kind, Table, Value};
use super::{listed, ranked, Names};
use crate::block::Damaged;
use crate::features::{Feature, UNKNOWN};
use crate::usual::Range;

/// The names and the categories of the features of a tree, which itself keeps their numbers.
pub struct Rows {
    pub names: Table,
    /// The categories of each feature; none of a number.
    categories: Vec<Option<Table>>,
    categories_max: usize,
    /// The last event.
    pub row: Vec<f64>,
    /// The features that the last event that was learned withheld.
    pub withheld: Vec<u32>,
}

/// The names of the features, and the values of their categories.
pub type Named<'py> = (Bound<'py, PyList>, Bound<'py, PyList>);

impl Rows {
    pub fn new(py: Python, categories_max: usize) -> Rows {
        Rows { names: Table::new(py), categories: vec![], categories_max, row: vec![], withheld: vec![] }
    }

    /// The event as a row, which is not learned.
    pub fn fill(&mut self, values: &[Value], features: &[Feature]) -> PyResult<()> {
        self.row.clear();
        self.row.resize(features.len(), f64::NAN);
        let mut hint = 0;
        for value in values {
            let Some(number) = self.names.find_near(&value.name, hint)? else {
                continue;
            };
            let at = number as usize;
            hint = at + 1;
            match (&features[at], value.kind) {
                (Feature::Number(_), Kind::Switch) => self.row[at] = value.number,
                (Feature::Number(range), Kind::Number) => self.row[at] = range.within(value.number),
                (Feature::Category { withheld: false, .. }, Kind::Category) => {
                    if let Some(table) = &self.categories[at] {
                        self.row[at] = table.find(&value.object)?.map_or(UNKNOWN, f64::from);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The event as a row, which is learned: features and categories are added, and usual ranges follow.
    pub fn learn(&mut self, values: &[Value], features: &mut Vec<Feature>) -> PyResult<()> {
        self.withheld.clear();
        self.row.clear();
        self.row.resize(features.len(), f64::NAN);
        let mut hint = 0;
        for value in values {
            let at = match self.names.find_near(&value.name, hint)? {
                Some(number) => number as usize,
                None => self.add_feature(&value.name, value.kind, features)?,
            };
            hint = at + 1;
            match (&mut features[at], value.kind) {
                (Feature::Number(_), Kind::Switch) => self.row[at] = value.number,
                (Feature::Number(range), Kind::Number) => {
                    let number = range.within(value.number);
                    range.observe(number);
                    self.row[at] = number;
                }
                (feature @ Feature::Category { withheld: false, .. }, Kind::Category) => self.learn_category(at, &value.object, feature)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn add_feature(&mut self, name: &Bound<PyAny>, kind: Kind, features: &mut Vec<Feature>) -> PyResult<usize> {
        let category = kind == Kind::Category;
        features.push(match category {
            true => Feature::Category { ranked: vec![], withheld: false },
            false => Feature::Number(Range::new(0.0, 0.0, 0.0)),
        });
        self.categories.push(category.then(|| Table::new(name.py())));
        self.row.push(f64::NAN);
        Ok(self.names.add(name)? as usize)
    }

    fn learn_category(&mut self, at: usize, value: &Bound<PyAny>, feature: &mut Feature) -> PyResult<()> {
        let (Some(table), Feature::Category { ranked: order, withheld }) = (&mut self.categories[at], feature) else {
            return Ok(());
        };
        if let Some(number) = table.find(value)? {
            self.row[at] = f64::from(number);
        } else if table.names.len() >= self.categories_max {
            *withheld = true;
            self.withheld.push(at as u32);
        } else {
            self.row[at] = f64::from(table.add(value)?);
            *order = ranked(value.py(), &table.names, table.numbers.bind(value.py()))?;
        }
        Ok(())
    }

    /// The features that are withheld.
    pub fn withheld(&self, py: Python, features: &[Feature]) -> Names {
        features.iter().zip(&self.names.names).filter(|each| each.0.withheld()).map(|each| each.1.clone_ref(py)).collect()
    }

    pub fn named<'py>(&self, py: Python<'py>) -> PyResult<Named<'py>> {
        let none = vec![];
        let values = self.categories.iter().map(|table| listed(py, table.as_ref().map_or(&none, |table| &table.names)));
        Ok((listed(py, &self.names.names)?, PyList::new(py, values.collect::<PyResult<Vec<_>>>()?)?))
    }

    /// Go on from the names of a state; how many categories each feature has.
    pub fn restore(&mut self, named: &Named) -> PyResult<Vec<usize>> {
        let py = named.0.py();
        self.names = Table::of(py, named.0.as_any())?;
        let tables = named.1.iter().map(|held| Table::of(py, &held)).collect::<PyResult<Vec<_>>>()?;
        if tables.len() != self.names.names.len() {
            return Err(Damaged.into());
        }
        let counts = tables.iter().map(|table| table.names.len()).collect();
        self.categories = tables.into_iter().map(Some).collect();
        Ok(counts)
    }

    /// After `restore`, by the features that were read: numbers have no categories, and those of the others have an order.
    pub fn settle(&mut self, py: Python, features: &mut [Feature]) -> PyResult<()> {
        for (feature, held) in features.iter_mut().zip(&mut self.categories) {
            match (feature, held.as_ref()) {
                (Feature::Category { ranked: order, .. }, Some(table)) => *order = ranked(py, &table.names, table.numbers.bind(py))?,
                _ => *held = None,
            }
        }
        Ok(())
    }
}
