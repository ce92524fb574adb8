//! The values of an event: numbers, booleans, categories, and what is missing (`stream_retrain/models/feature_values.py`).

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyString};

use super::call;
use crate::block::Damaged;
use crate::targets::TARGET_MAX;

const HUGE: f64 = 1e150;
const MODULE: &str = "stream_retrain.models.feature_values";

#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Number,
    Switch,
    Category,
}

/// A value that is not missing.
pub struct Value<'py> {
    pub name: Bound<'py, PyAny>,
    pub kind: Kind,
    /// Of a number or a switch.
    pub number: f64,
    pub object: Bound<'py, PyAny>,
}

impl Value<'_> {
    /// Whether it can surely be hashed.
    pub fn is_plain(&self) -> bool {
        self.kind != Kind::Category || self.object.is_exact_instance_of::<PyString>()
    }
}

/// The values of an event. Raises ValueError where one is infinite or unhashable, before anything is learned.
pub fn values<'py>(x: &Bound<'py, PyAny>) -> PyResult<Vec<Value<'py>>> {
    let py = x.py();
    if let Ok(dict) = x.cast::<PyDict>() {
        if let Some(found) = usual(dict)? {
            return Ok(found);
        }
    }
    let clean = call(py, MODULE, "checked", x)?;
    let mut found = vec![];
    for item in clean.call_method0("items")?.try_iter()? {
        let (name, value) = item?.extract::<(Bound<PyAny>, Bound<PyAny>)>()?;
        let kind = match () {
            () if value.is_exact_instance_of::<PyBool>() => Kind::Switch,
            () if value.is_exact_instance_of::<PyString>() => Kind::Category,
            () if call(py, MODULE, "is_number", &value)?.is_truthy()? => Kind::Number,
            () => Kind::Category,
        };
        let number = if kind == Kind::Category { 0.0 } else { value.extract()? };
        found.push(Value { name, kind, number, object: value });
    }
    Ok(found)
}

/// The same where every value is a usual one; None else.
fn usual<'py>(x: &Bound<'py, PyDict>) -> PyResult<Option<Vec<Value<'py>>>> {
    let mut found = Vec::with_capacity(x.len());
    for (name, value) in x.iter() {
        if let Ok(float) = value.cast_exact::<PyFloat>() {
            let number = float.value();
            if number.is_nan() {
                continue;
            }
            if !(-HUGE < number && number < HUGE) {
                return Ok(None);
            }
            found.push(Value { name, kind: Kind::Number, number, object: value });
        } else if value.is_exact_instance_of::<PyString>() {
            found.push(Value { name, kind: Kind::Category, number: 0.0, object: value });
        } else if value.is_exact_instance_of::<PyInt>() {
            match value.extract::<f64>() {
                Ok(number) if -HUGE < number && number < HUGE => found.push(Value { name, kind: Kind::Number, number, object: value }),
                _ => return Ok(None),
            }
        } else if let Ok(switch) = value.cast_exact::<PyBool>() {
            let number = f64::from(u8::from(switch.is_true()));
            found.push(Value { name, kind: Kind::Switch, number, object: value });
        } else if !value.is_none() {
            return Ok(None);
        }
    }
    Ok(Some(found))
}

/// A target that can be learned.
pub fn target(y: &Bound<PyAny>) -> PyResult<f64> {
    match y.extract() {
        Ok(target) if -TARGET_MAX < target && target < TARGET_MAX => Ok(target),
        _ => call(y.py(), "stream_retrain.models.targets", "learnable", y)?.extract(),
    }
}

/// Python values by number, and their numbers.
pub struct Table {
    pub names: super::Names,
    pub numbers: Py<PyDict>,
}

impl Table {
    pub fn new(py: Python) -> Table {
        Table { names: vec![], numbers: PyDict::new(py).unbind() }
    }

    /// A table of values; they must differ.
    pub fn of(py: Python, values: &Bound<PyAny>) -> PyResult<Table> {
        let mut table = Table::new(py);
        for value in values.try_iter()? {
            let value = value?;
            if table.find(&value)?.is_some() {
                return Err(Damaged.into());
            }
            table.add(&value)?;
        }
        Ok(table)
    }

    /// The number of a value that is often the very object of one of the first few.
    #[inline]
    pub fn find_same(&self, value: &Bound<PyAny>) -> PyResult<Option<u32>> {
        match self.names.iter().take(4).position(|name| name.is(value)) {
            Some(number) => Ok(Some(number as u32)),
            None => self.find(value),
        }
    }

    /// The number of a value; `hint` is where it is likely to be.
    #[inline]
    pub fn find_near(&self, value: &Bound<PyAny>, hint: usize) -> PyResult<Option<u32>> {
        match self.names.get(hint) {
            Some(name) if name.is(value) => Ok(Some(hint as u32)),
            _ => self.find(value),
        }
    }

    pub fn find(&self, value: &Bound<PyAny>) -> PyResult<Option<u32>> {
        self.numbers.bind(value.py()).get_item(value)?.map(|number| number.extract()).transpose()
    }

    pub fn add(&mut self, value: &Bound<PyAny>) -> PyResult<u32> {
        let number = self.names.len() as u32;
        self.numbers.bind(value.py()).set_item(value, number)?;
        self.names.push(value.clone().unbind());
        Ok(number)
    }
}
