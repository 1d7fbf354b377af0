//! Templates: text with `{{ expression }}` in it, read once into texts and slots.
//!
//! `{{{{` is a literal `{{`. What is filled in is never read as a template again.

use std::borrow::Cow;

use serde_json::Value;

use crate::draw::Draws;
use crate::error::{TEMPLATE_MAX_BYTES, TEMPLATE_PARTS_MAX, TemplateError};
use crate::expression::evaluate::{evaluate, missing};
use crate::expression::parser;
use crate::expression::syntax::Node;
use crate::names::Names;
use crate::output::Output;
use crate::scope::Scope;
use crate::value::{is_true, write_text};

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(Box<str>),
    /// A variable alone: the common case, without the walk through an expression.
    Variable(u16),
    Expression(Box<Node>),
}

/// A text with expressions in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// No two texts beside each other.
    parts: Box<[Part]>,
}

impl Template {
    /// Reads a template. Variables that it uses get a slot in `names`, whether anybody sets them or not.
    ///
    /// # Errors
    /// What is not written as the language wants it, with its column, and what is beyond a limit.
    pub fn parse(text: &str, names: &mut Names) -> Result<Self, TemplateError> {
        if text.len() > TEMPLATE_MAX_BYTES {
            return Err(TemplateError::TooLong { bytes: text.len() });
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut at = 0;
        loop {
            let rest = text.get(at..).unwrap_or_default();
            let Some(before) = rest.find("{{") else {
                literal.push_str(rest);
                break;
            };
            literal.push_str(rest.get(..before).unwrap_or_default());
            at += before + 2;
            if text.get(at..).is_some_and(|rest| rest.starts_with("{{")) {
                literal.push_str("{{");
                at += 2;
                continue;
            }
            let (node, end) = parser::parse(text, at, names)?;
            at = end;
            flush(&mut literal, &mut parts)?;
            let slot = if let Node::Variable(slot) = node { Some(slot) } else { None };
            push(&mut parts, slot.map_or_else(|| Part::Expression(node.into()), Part::Variable))?;
        }
        flush(&mut literal, &mut parts)?;
        Ok(Self { parts: parts.into() })
    }

    /// Reads a condition: one expression and nothing beside it, since any text around it would always be true.
    ///
    /// # Errors
    /// As [`Self::parse`], and where there is a text beside the expression.
    pub fn parse_condition(text: &str, names: &mut Names) -> Result<Self, TemplateError> {
        let template = Self::parse(text.trim(), names)?;
        if template.is_whole() { Ok(template) } else { Err(TemplateError::NoCondition) }
    }

    /// Its text, where there is nothing to fill in.
    pub fn constant(&self) -> Option<&str> {
        match self.parts.as_ref() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            [Part::Variable(_) | Part::Expression(_)] | [_, _, ..] => None,
        }
    }

    /// Whether it is one expression alone, so that its value keeps its type.
    pub fn is_whole(&self) -> bool {
        matches!(self.parts.as_ref(), [Part::Variable(_) | Part::Expression(_)])
    }

    /// Adds the text that it makes. Where all is text and variables that are texts, nothing is allocated but what
    /// `out` grows by.
    ///
    /// # Errors
    /// What is not there, what an operator does not take, more than `scope.made_max_bytes`. Part of the text may have
    /// been written.
    pub fn render_into(
        &self,
        scope: &Scope<'_>,
        draws: &mut Draws,
        out: &mut impl Output,
    ) -> Result<(), TemplateError> {
        // The limit counts what this template makes, not what was there before.
        let limit = out.length().saturating_add(scope.made_max_bytes);
        let made = |error| match error {
            TemplateError::MadeTooLong { .. } => TemplateError::MadeTooLong { limit: scope.made_max_bytes },
            other => other,
        };
        for part in &self.parts {
            match part {
                Part::Text(text) => {
                    if text.len() > limit.saturating_sub(out.length()) {
                        return Err(TemplateError::MadeTooLong { limit: scope.made_max_bytes });
                    }
                    out.push(text);
                }
                Part::Variable(slot) => {
                    let value = scope.variable(*slot).ok_or_else(|| missing(scope, *slot))?;
                    write_text(value, out, limit).map_err(made)?;
                }
                Part::Expression(node) => {
                    let value = evaluate(node, scope, draws)?;
                    write_text(&value, out, limit).map_err(made)?;
                }
            }
        }
        Ok(())
    }

    /// The text that it makes.
    ///
    /// # Errors
    /// As [`Self::render_into`].
    pub fn text(&self, scope: &Scope<'_>, draws: &mut Draws) -> Result<String, TemplateError> {
        let mut text = String::new();
        self.render_into(scope, draws, &mut text)?;
        Ok(text)
    }

    /// The value that it makes: of one expression alone its value, borrowed where it is there already; else a text.
    ///
    /// # Errors
    /// As [`Self::render_into`].
    pub fn value<'a>(&'a self, scope: &Scope<'a>, draws: &mut Draws) -> Result<Cow<'a, Value>, TemplateError> {
        match self.parts.as_ref() {
            [Part::Variable(slot)] => scope.variable(*slot).map(Cow::Borrowed).ok_or_else(|| missing(scope, *slot)),
            [Part::Expression(node)] => evaluate(node, scope, draws),
            [] | [Part::Text(_)] | [_, _, ..] => Ok(Cow::Owned(Value::String(self.text(scope, draws)?))),
        }
    }

    /// Whether its value counts as true; see [`is_true`].
    ///
    /// # Errors
    /// As [`Self::render_into`].
    pub fn is_true(&self, scope: &Scope<'_>, draws: &mut Draws) -> Result<bool, TemplateError> {
        Ok(is_true(self.value(scope, draws)?.as_ref()))
    }
}

fn flush(literal: &mut String, parts: &mut Vec<Part>) -> Result<(), TemplateError> {
    if literal.is_empty() { Ok(()) } else { push(parts, Part::Text(std::mem::take(literal).into())) }
}

fn push(parts: &mut Vec<Part>, part: Part) -> Result<(), TemplateError> {
    if parts.len() >= TEMPLATE_PARTS_MAX {
        return Err(TemplateError::TooManyParts);
    }
    parts.push(part);
    Ok(())
}

#[cfg(test)]
mod tests;
