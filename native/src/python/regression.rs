//! `QuickTreeRegressor`'s core: `stream_retrain/models/plain_tree_regressor.py` has the same one in Python.

use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::member::RegressorMember;
use super::rows::Rows;
use super::step::{regress, Regresses, Wanted};
use super::tree::{check_weight, Made};
use super::values::{target, values, Value};
use super::{Block, Names};
use crate::block::Writer;
use crate::regression;
use crate::targets::Targets;

type State<'py> = (Bound<'py, PyList>, Bound<'py, PyList>, Bound<'py, PyAny>);

#[pyclass(module = "stream_retrain._native")]
pub struct TreeRegressor {
    tree: regression::TreeRegressor,
    rows: Rows,
    targets: Targets,
    made: Made,
}

impl TreeRegressor {
    fn of(py: Python, made: Made) -> TreeRegressor {
        let (tree, rows) = (regression::TreeRegressor::new(&made.params()), Rows::new(py, made.categories_max));
        TreeRegressor { tree, rows, targets: Targets::default(), made }
    }

    pub fn predict_values(&mut self, values: &[Value]) -> PyResult<f64> {
        self.rows.fill(values, &self.tree.features)?;
        Ok(self.tree.predict(&self.rows.row))
    }

    pub fn learn_values(&mut self, values: &[Value], y: f64, w: f64) -> PyResult<()> {
        self.rows.learn(values, &mut self.tree.features)?;
        let usual = self.targets.usual(y);
        self.targets.update(y);
        for &feature in &self.rows.withheld {
            self.tree.withhold(feature);
        }
        self.tree.learn(&self.rows.row, usual, w);
        Ok(())
    }
}

impl Regresses for TreeRegressor {
    fn predict_next(&mut self, _: Python, values: &[Value]) -> PyResult<f64> {
        self.predict_values(values)
    }

    fn learn_next(&mut self, _: Python, values: &[Value], y: f64) -> PyResult<()> {
        self.learn_values(values, y, 1.0)
    }
}

impl RegressorMember for TreeRegressor {
    fn untrained(&self, py: Python) -> PyResult<TreeRegressor> {
        Ok(TreeRegressor::of(py, self.made))
    }
}

#[pymethods]
impl TreeRegressor {
    #[new]
    fn new(py: Python, grace_period: f64, delta: f64, tau: f64, max_depth: Option<u32>, categories_max: usize) -> TreeRegressor {
        TreeRegressor::of(py, Made { grace_period, delta, tau, max_depth, categories_max })
    }

    fn predict(&mut self, x: &Bound<PyAny>) -> PyResult<f64> {
        self.predict_values(&values(x)?)
    }

    fn learn(&mut self, x: &Bound<PyAny>, y: &Bound<PyAny>, w: f64) -> PyResult<()> {
        check_weight(w)?;
        let y = target(y)?;
        self.learn_values(&values(x)?, y, w)
    }

    fn step<'py>(&mut self, xs: &Bound<'py, PyList>, ys: &Bound<'py, PyList>, wanted: Wanted<'py>) -> PyResult<Bound<'py, PyTuple>> {
        regress(self, xs, ys, &wanted)
    }

    fn shape(&self) -> (usize, usize, usize) {
        self.tree.shape()
    }

    fn withheld(&self, py: Python) -> Names {
        self.rows.withheld(py, &self.tree.features)
    }

    fn state<'py>(&self, py: Python<'py>) -> PyResult<State<'py>> {
        let mut to = Writer::default();
        self.targets.write(&mut to);
        self.tree.write(&mut to);
        let (names, categories) = self.rows.named(py)?;
        Ok((names, categories, Block::written(py, to)?.into_any()))
    }

    fn restore(&mut self, py: Python, state: State) -> PyResult<()> {
        let (names, categories, block) = state;
        *self = TreeRegressor::of(py, self.made);
        let counts = self.rows.restore(&(names, categories))?;
        let block = Block::of(&block)?;
        let mut reader = block.reader()?;
        self.targets = Targets::read(&mut reader)?;
        self.tree.read(&mut reader, &counts)?;
        reader.end()?;
        self.rows.settle(py, &mut self.tree.features)
    }
}
