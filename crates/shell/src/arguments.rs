//! What a call is given.

use crate::{ShellError, Value};

/// Arguments as they were written.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Arguments {
    /// By position.
    pub positional: Vec<Value>,
    /// By name.
    pub keyword: Vec<(String, Value)>,
}

/// Arguments by the parameters of what is called.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    function: String,
    values: Vec<(&'static str, Value)>,
}

impl Arguments {
    /// Gives each parameter its argument, `None` where there is none; the first `needed` must have one.
    ///
    /// # Errors
    /// Too many, too few, one of no parameter's name, or one that is given twice.
    pub fn bind(self, function: &str, parameters: &[&'static str], needed: usize) -> Result<Bound, ShellError> {
        let refuse = |problem: String| Err(ShellError::Arguments(format!("{function}: {problem}")));
        if self.positional.len() > parameters.len() {
            return refuse(match parameters {
                [] => "takes no arguments".to_owned(),
                _ => format!("takes at most {}: {}", parameters.len(), parameters.join(", ")),
            });
        }
        let mut given: Vec<Option<Value>> = self.positional.into_iter().map(Some).collect();
        given.resize(parameters.len(), None);
        for (name, value) in self.keyword {
            let place = parameters.iter().position(|parameter| *parameter == name);
            match place.and_then(|place| given.get_mut(place)) {
                Some(slot @ None) => *slot = Some(value),
                Some(Some(_)) => return refuse(format!("`{name}` is given twice")),
                None if parameters.is_empty() => return refuse("takes no arguments".to_owned()),
                None => {
                    let shown: String = name.chars().take(40).collect();
                    return refuse(format!("there is no `{shown}`; there are {}", parameters.join(", ")));
                }
            }
        }
        if let Some((missing, _)) = parameters.iter().zip(&given).take(needed).find(|(_, value)| value.is_none()) {
            return refuse(format!("`{missing}` is missing"));
        }
        let values = parameters.iter().zip(given).map(|(name, value)| (*name, value.unwrap_or(Value::None)));
        Ok(Bound { function: function.to_owned(), values: values.collect() })
    }
}

impl Bound {
    /// The argument of a parameter; [`Value::None`] where there is none.
    pub fn value(&self, name: &str) -> &Value {
        self.values.iter().find(|(known, _)| *known == name).map_or(&Value::None, |(_, value)| value)
    }

    /// Says what is wrong with the argument of a parameter.
    pub fn refused(&self, name: &str, problem: &str) -> ShellError {
        ShellError::Arguments(format!("{}: {name}: {problem}", self.function))
    }

    /// A text that is there.
    ///
    /// # Errors
    /// Something else.
    pub fn text(&self, name: &str) -> Result<String, ShellError> {
        self.optional_text(name)?.ok_or_else(|| self.refused(name, "a text in quotes is needed"))
    }

    /// A text, if there is one.
    ///
    /// # Errors
    /// Something else.
    pub fn optional_text(&self, name: &str) -> Result<Option<String>, ShellError> {
        match self.value(name) {
            Value::None => Ok(None),
            Value::Text(text) => Ok(Some(text.clone())),
            Value::Bool(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::List(_)
            | Value::Tuple(_)
            | Value::Dict(_)
            | Value::Object(_) => Err(self.refused(name, "a text in quotes is needed")),
        }
    }

    /// A number that is not negative.
    ///
    /// # Errors
    /// Something else.
    pub fn number(&self, name: &str) -> Result<f64, ShellError> {
        let number = self.value(name).number().filter(|number| *number >= 0.0);
        number.ok_or_else(|| self.refused(name, "a number that is not negative is needed"))
    }

    /// `True` or `False`, if there is one.
    ///
    /// # Errors
    /// Something else.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, ShellError> {
        match self.value(name) {
            Value::None => Ok(None),
            Value::Bool(flag) => Ok(Some(*flag)),
            Value::Integer(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::List(_)
            | Value::Tuple(_)
            | Value::Dict(_)
            | Value::Object(_) => Err(self.refused(name, "True or False is needed")),
        }
    }

    /// A whole number of at least 1, if there is one.
    ///
    /// # Errors
    /// Something else.
    pub fn count(&self, name: &str) -> Result<Option<u64>, ShellError> {
        match self.value(name) {
            Value::None => Ok(None),
            Value::Integer(number) if *number > 0 => Ok(Some(number.unsigned_abs())),
            Value::Bool(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::List(_)
            | Value::Tuple(_)
            | Value::Dict(_)
            | Value::Object(_) => Err(self.refused(name, "a whole number of at least 1 is needed")),
        }
    }

    /// Texts, of a list of them or of one alone; none where nothing is given.
    ///
    /// # Errors
    /// Something else.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, ShellError> {
        let refuse = || self.refused(name, "a list of texts is needed: ['a', 'b']");
        let text = |value: &Value| match value {
            Value::Text(text) => Some(text.clone()),
            Value::None
            | Value::Bool(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::List(_)
            | Value::Tuple(_)
            | Value::Dict(_)
            | Value::Object(_) => None,
        };
        match self.value(name) {
            Value::None => Ok(Vec::new()),
            other => match (text(other), other.entries()) {
                (Some(alone), _) => Ok(vec![alone]),
                (None, Some(entries)) => entries.iter().map(text).collect::<Option<_>>().ok_or_else(refuse),
                (None, None) => Err(refuse()),
            },
        }
    }

    /// The entries of a dict, with keys that are texts; none where nothing is given.
    ///
    /// # Errors
    /// Something else.
    pub fn entries(&self, name: &str) -> Result<Vec<(String, Value)>, ShellError> {
        let refuse = || self.refused(name, "a dict with texts as keys is needed: {'zone': 'A'}");
        match self.value(name) {
            Value::None => Ok(Vec::new()),
            Value::Dict(entries) => entries
                .iter()
                .map(|(key, value)| match key {
                    Value::Text(key) => Ok((key.clone(), value.clone())),
                    Value::None
                    | Value::Bool(_)
                    | Value::Integer(_)
                    | Value::Float(_)
                    | Value::List(_)
                    | Value::Tuple(_)
                    | Value::Dict(_)
                    | Value::Object(_) => Err(refuse()),
                })
                .collect(),
            Value::Bool(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::List(_)
            | Value::Tuple(_)
            | Value::Object(_) => Err(refuse()),
        }
    }
}
