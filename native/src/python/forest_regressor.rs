//! `RestartingForestRegressor`'s core: `stream_retrain/models/plain_forest_regressor.py` has the same one in Python.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::cache::{Cache, Kept};
use super::member::RegressorMember;
use super::rows::Rows;
use super::step::{regress, Regresses, Wanted};
use super::values::{target, values, Value};
use super::{Block, Names};
use crate::block::Writer;
use crate::forest::Params;
use crate::forest_regressor::{self, Said};
use crate::tree::{self, LEAF_EVENTS_MAX};

/// Names, categories, the predictions that are kept, and the numbers.
type State<'py> = (Bound<'py, PyList>, Bound<'py, PyList>, Bound<'py, PyDict>, Bound<'py, PyAny>);

impl Kept for Said {
    fn written(&self, py: Python) -> PyResult<Py<PyAny>> {
        let numbers = PyTuple::new(py, &self.numbers)?;
        Ok((self.changes, numbers).into_pyobject(py)?.into_any().unbind())
    }

    fn read(kept: &Bound<PyAny>) -> PyResult<Said> {
        let (changes, numbers) = kept.extract()?;
        Ok(Said { changes, numbers })
    }
}

#[pyclass(module = "stream_retrain._native")]
pub struct ForestRegressor {
    forest: forest_regressor::ForestRegressor,
    rows: Rows,
    cache: Cache<Said>,
    /// What was said of the event that is learned next.
    next: Option<Said>,
    params: Params,
    categories_max: usize,
}

impl ForestRegressor {
    fn of(py: Python, params: Params, categories_max: usize) -> ForestRegressor {
        let (forest, rows) = (forest_regressor::ForestRegressor::new(&params), Rows::new(py, categories_max));
        ForestRegressor { forest, rows, cache: Cache::new(py), next: None, params, categories_max }
    }

    /// The prediction, and what each tree says.
    fn ask(&mut self, values: &[Value]) -> PyResult<(f64, Said)> {
        let mut said = Said::default();
        self.rows.fill(values, &self.forest.features)?;
        Ok((self.forest.predict(&self.rows.row, &mut said), said))
    }

    /// Score what was said of an event, then learn it.
    fn learn_said(&mut self, values: &[Value], y: f64, said: &Said) -> PyResult<()> {
        if self.forest.must_ask(said) {
            self.rows.fill(values, &self.forest.features)?;
        }
        self.forest.score(said, &self.rows.row, y);
        self.rows.learn(values, &mut self.forest.features)?;
        let usual = self.forest.targets.usual(y);
        self.forest.targets.update(y);
        for &feature in &self.rows.withheld {
            self.forest.withhold(feature);
        }
        self.forest.learn(&self.rows.row, usual);
        Ok(())
    }
}

impl Regresses for ForestRegressor {
    fn predict_next(&mut self, py: Python, values: &[Value]) -> PyResult<f64> {
        self.next = None;
        let (prediction, said) = self.ask(values)?;
        self.next = self.cache.pass(py, values, said)?;
        Ok(prediction)
    }

    fn learn_next(&mut self, _: Python, values: &[Value], y: f64) -> PyResult<()> {
        let said = self.next.take().unwrap_or_default();
        self.learn_said(values, y, &said)
    }

    /// How often as many trees were replaced as there are.
    fn changes(&self, _: Python) -> PyResult<u64> {
        Ok(self.forest.changes / self.params.trees as u64)
    }
}

impl RegressorMember for ForestRegressor {
    fn predict_any(&mut self, py: Python, values: &[Value]) -> PyResult<f64> {
        let (prediction, said) = self.ask(values)?;
        self.cache.put(py, values, said)?;
        Ok(prediction)
    }

    fn learn_any(&mut self, py: Python, values: &[Value], y: f64) -> PyResult<()> {
        let said = self.cache.take(py, values)?;
        self.learn_said(values, y, &said.unwrap_or_default())
    }

    fn untrained(&self, py: Python) -> PyResult<ForestRegressor> {
        Ok(ForestRegressor::of(py, self.params.clone(), self.categories_max))
    }
}

#[pymethods]
impl ForestRegressor {
    #[new]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python,
        trees: usize,
        grace_period: f64,
        delta: f64,
        tau: f64,
        weight_mean: f64,
        drift_confidence: f64,
        warning_confidence: f64,
        categories_max: usize,
        memory_max: usize,
        seed: u64,
    ) -> ForestRegressor {
        let tree = tree::Params { grace_period, delta, tau, depth_max: None, leaf_weight_max: LEAF_EVENTS_MAX * weight_mean };
        let params = Params { trees, tree, cuts: 0, weight_mean, drift_confidence, warning_confidence, memory_max, seed };
        ForestRegressor::of(py, params, categories_max)
    }

    fn predict(&mut self, x: &Bound<PyAny>) -> PyResult<f64> {
        self.predict_any(x.py(), &values(x)?)
    }

    fn learn(&mut self, x: &Bound<PyAny>, y: &Bound<PyAny>) -> PyResult<()> {
        let y = target(y)?;
        self.learn_any(x.py(), &values(x)?, y)
    }

    fn step<'py>(&mut self, xs: &Bound<'py, PyList>, ys: &Bound<'py, PyList>, wanted: Wanted<'py>) -> PyResult<Bound<'py, PyTuple>> {
        regress(self, xs, ys, &wanted)
    }

    /// How many trees were replaced.
    #[getter(changes)]
    fn replaced(&self) -> u64 {
        self.forest.changes
    }

    fn shape(&self) -> (usize, usize, usize) {
        self.forest.shape()
    }

    /// Bytes of all trees and successors, as they are estimated.
    fn memory(&self) -> usize {
        self.forest.memory()
    }

    fn withheld(&self, py: Python) -> Names {
        self.rows.withheld(py, &self.forest.features)
    }

    fn waiting(&self, py: Python) -> usize {
        self.cache.len(py)
    }

    fn state<'py>(&mut self, py: Python<'py>) -> PyResult<State<'py>> {
        let mut to = Writer::default();
        self.forest.write(&mut to);
        let (names, categories) = self.rows.named(py)?;
        let kept = self.cache.state(py)?.into_bound(py);
        Ok((names, categories, kept, Block::written(py, to)?.into_any()))
    }

    fn restore(&mut self, py: Python, state: State) -> PyResult<()> {
        let (names, categories, kept, block) = state;
        *self = self.untrained(py)?;
        let counts = self.rows.restore(&(names, categories))?;
        let block = Block::of(&block)?;
        let mut reader = block.reader()?;
        self.forest.read(&mut reader, &counts)?;
        reader.end()?;
        self.rows.settle(py, &mut self.forest.features)?;
        self.cache.restore(&kept)
    }
}
