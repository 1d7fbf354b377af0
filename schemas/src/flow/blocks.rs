//! Blocks of steps as they are written, and what they must keep to: loops, branches, steps that are taken at once.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::rule::{self, Reading, SpecError, refuse};
use super::step::{BRANCHES_MAX, Count, If, Loop, Parallel, ROUNDS_MAX, Rounds, Step};
use super::template::is_template;

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CountVisitor;
        impl Visitor<'_> for CountVisitor {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of rounds, or a template that is one")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Count, E> {
                let count = u32::try_from(number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))?;
                Ok(Count::Number(count))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Count, E> {
                Ok(Count::Template(text.to_owned()))
            }
        }
        deserializer.deserialize_any(CountVisitor)
    }
}

/// As it is written.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WrittenLoop {
    /// So often: a number, or a template that is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    count: Option<Count>,
    /// Once for each item of a list, or of a template that is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    over: Option<Value>,
    /// Of `over`: name of the variable that holds the item; `item` when absent.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    item: Option<String>,
    /// For as long as this template is true; it is looked at before each round.
    #[serde(default, rename = "while", skip_serializing_if = "Option::is_none")]
    condition: Option<String>,
    /// The most rounds, 1000 when absent; the iteration fails where it would need more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_most: Option<u32>,
    /// What is done in each round.
    steps: Vec<Step>,
}

const DEFAULT_ITEM: &str = "item";

impl TryFrom<WrittenLoop> for Loop {
    type Error = String;

    fn try_from(written: WrittenLoop) -> Result<Self, String> {
        let WrittenLoop { count, over, item, condition, at_most, steps } = written;
        if item.is_some() && over.is_none() {
            return Err("`as` belongs to `over`".to_owned());
        }
        let rounds = match (count, over, condition) {
            (Some(count), None, None) => Rounds::Count(count),
            (None, Some(list), None) => Rounds::Over { list, item: item.unwrap_or_else(|| DEFAULT_ITEM.to_owned()) },
            (None, None, Some(condition)) => Rounds::While(condition),
            (None, None, None) => return Err("says not how often: give `count`, `over` or `while`".to_owned()),
            (_, _, _) => return Err("give one of `count`, `over` and `while`".to_owned()),
        };
        Ok(Self { rounds, at_most, steps })
    }
}

impl From<Loop> for WrittenLoop {
    fn from(one: Loop) -> Self {
        let mut written =
            Self { count: None, over: None, item: None, condition: None, at_most: one.at_most, steps: one.steps };
        match one.rounds {
            Rounds::Count(count) => written.count = Some(count),
            Rounds::Over { list, item } => {
                written.over = Some(list);
                written.item = Some(item).filter(|item| item != DEFAULT_ITEM);
            }
            Rounds::While(condition) => written.condition = Some(condition),
        }
        written
    }
}

impl Serialize for Loop {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        WrittenLoop::from(self.clone()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Loop {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        WrittenLoop::deserialize(deserializer)?.try_into().map_err(D::Error::custom)
    }
}

impl JsonSchema for Loop {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Loop".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = WrittenLoop::json_schema(generator);
        schema.insert("description".to_owned(), "Steps that are taken again and again.".into());
        schema
    }
}

impl Loop {
    /// Checks the loop itself; its steps are checked as all others are.
    pub(crate) fn check(&self, path: &str, reading: Reading) -> Result<(), SpecError> {
        if self.at_most.is_some_and(|at_most| at_most == 0 || at_most > ROUNDS_MAX) {
            return refuse(format!("{path}.at_most"), format!("give 1 to {ROUNDS_MAX}"));
        }
        let refuse_more = |field: &str, rounds: usize| match rounds > self.at_most() as usize {
            true => {
                let problem = format!("{rounds} rounds, at most {} are taken: raise `at_most`", self.at_most());
                refuse(format!("{path}.{field}"), problem)
            }
            false => Ok(()),
        };
        match &self.rounds {
            Rounds::Count(Count::Number(0)) => refuse(format!("{path}.count"), "0 rounds do nothing"),
            Rounds::Count(Count::Number(count)) if *count > ROUNDS_MAX => {
                refuse(format!("{path}.count"), format!("more than {ROUNDS_MAX}"))
            }
            Rounds::Count(Count::Number(count)) => refuse_more("count", *count as usize),
            Rounds::Count(Count::Template(text)) => match is_template(text) || !reading.knows(text) {
                true => Ok(()),
                false => refuse(format!("{path}.count"), "neither a number nor a template, as in 3 or \"{{ n }}\""),
            },
            Rounds::Over { list, item } => {
                rule::check_variable_name(&format!("{path}.as"), item)?;
                match list {
                    Value::Array(items) => refuse_more("over", items.len()),
                    Value::String(text) if is_template(text) => Ok(()),
                    Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => refuse(
                        format!("{path}.over"),
                        "neither a list nor a template that is one, as in \"{{ items }}\"",
                    ),
                }
            }
            Rounds::While(condition) => rule::check_condition(&format!("{path}.while"), condition),
        }?;
        match self.steps.is_empty() {
            true => refuse(format!("{path}.steps"), "empty: a round would do nothing"),
            false => Ok(()),
        }
    }
}

impl If {
    pub(crate) fn check(&self, path: &str) -> Result<(), SpecError> {
        rule::check_condition(&format!("{path}.condition"), &self.condition)?;
        match self.then.is_empty() && self.otherwise.is_empty() {
            true => refuse(format!("{path}.then"), "missing: nothing would be done, whatever the condition says"),
            false => Ok(()),
        }
    }
}

/// As it is written when it is no list of steps.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WrittenParallel {
    /// The branches, each a list of steps that follow each other.
    branches: Vec<Vec<Step>>,
    /// Branches under way at once; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_most: Option<u32>,
}

impl Parallel {
    pub(crate) fn check(&self, path: &str) -> Result<(), SpecError> {
        let count = self.branches.len();
        if count < 2 {
            return refuse(path, "one branch alone is not at once with anything: write its steps without `parallel`");
        }
        rule::at_most(path, count, BRANCHES_MAX)?;
        if let Some(index) = self.branches.iter().position(Vec::is_empty) {
            return refuse(format!("{path}.branches[{index}]"), "empty: it would do nothing");
        }
        match self.at_most {
            Some(0) => refuse(format!("{path}.at_most"), "0 would let nothing through"),
            Some(_) | None => Ok(()),
        }
    }
}

impl Serialize for Parallel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_short() {
            return serializer.collect_seq(self.branches.iter().flatten());
        }
        WrittenParallel { branches: self.branches.clone(), at_most: self.at_most }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Parallel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ParallelVisitor;
        impl<'de> Visitor<'de> for ParallelVisitor {
            type Value = Parallel;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of steps, or {branches: [[…], […]]}")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Parallel, A::Error> {
                let steps = Vec::<Step>::deserialize(SeqAccessDeserializer::new(list))?;
                Ok(Parallel { branches: steps.into_iter().map(|step| vec![step]).collect(), at_most: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Parallel, A::Error> {
                let WrittenParallel { branches, at_most } =
                    WrittenParallel::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Parallel { branches, at_most })
            }
        }
        deserializer.deserialize_any(ParallelVisitor)
    }
}

impl JsonSchema for Parallel {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Parallel".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Branches of steps that are taken at once. The step ends with the last of them.",
            "anyOf": [
                { "type": "array", "items": generator.subschema_for::<Step>() },
                WrittenParallel::json_schema(generator)
            ]
        })
    }
}
