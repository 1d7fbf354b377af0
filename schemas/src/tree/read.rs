//! Typed values from a tree.

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::{Content, Entry, Meaning, Node, ReadError, Scalar, item_step, key_step};

/// The name of a type that wants the own text of a scalar, but takes lists and maps, too.
pub(crate) const OWN_TEXT: &str = "$nuncius::OwnText";

/// Reads one node.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a Node);

impl<'a> Reader<'a> {
    fn text(self) -> Result<&'a str, ReadError> {
        match &self.0.content {
            Content::Scalar(Scalar { meaning: Meaning::Nothing, .. }) => Err(ReadError::at(
                "nothing is written where a text is wanted: for an empty text, or for this very word, use quotes",
                self.0.position,
            )),
            Content::Scalar(Scalar { meaning: Meaning::Bytes, .. }) => {
                Err(ReadError::invalid_type(Unexpected::Bytes(&[]), &"a text"))
            }
            Content::Scalar(scalar) => Ok(&scalar.text),
            Content::List(_) => Err(ReadError::invalid_type(Unexpected::Seq, &"a text")),
            Content::Map(_) => Err(ReadError::invalid_type(Unexpected::Map, &"a text")),
        }
    }
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.0.content {
            Content::Scalar(scalar) => match scalar.meaning {
                Meaning::Nothing => visitor.visit_unit(),
                Meaning::Boolean(value) => visitor.visit_bool(value),
                Meaning::Unsigned(value) => visitor.visit_u64(value),
                Meaning::Signed(value) => visitor.visit_i64(value),
                Meaning::Float(value) => visitor.visit_f64(value),
                Meaning::Text => visitor.visit_borrowed_str(&scalar.text),
                Meaning::Bytes => visitor.visit_bytes(&[]),
            },
            Content::List(items) => visitor.visit_seq(Items { items, next: 0 }),
            Content::Map(entries) => visitor.visit_map(Entries { entries, next: 0 }),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.0.content {
            Content::Scalar(Scalar { meaning: Meaning::Nothing, .. }) => visitor.visit_none(),
            Content::Scalar(_) | Content::List(_) | Content::Map(_) => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.0.content {
            Content::Scalar(_) if name == OWN_TEXT => visitor.visit_borrowed_str(self.text()?),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.0.content {
            Content::Map(entries) => match entries.as_slice() {
                [entry] => visitor.visit_enum(Choice { name: &entry.key, value: Some(entry) }),
                _ => Err(ReadError::at(format!("{} entries where one is wanted", entries.len()), self.0.position)),
            },
            Content::Scalar(_) | Content::List(_) => visitor.visit_enum(Choice { name: self.text()?, value: None }),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 bytes byte_buf unit unit_struct seq tuple tuple_struct map
        struct
    }
}

struct Items<'a> {
    items: &'a [Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        let Some(item) = self.items.get(self.next) else { return Ok(None) };
        let index = self.next;
        self.next += 1;
        seed.deserialize(Reader(item)).map(Some).map_err(|error| error.inside(item_step(index), item.position))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len() - self.next.min(self.items.len()))
    }
}

struct Entries<'a> {
    entries: &'a [Entry],
    next: usize,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        let Some(entry) = self.entries.get(self.next) else { return Ok(None) };
        seed.deserialize(Key(&entry.key))
            .map(Some)
            .map_err(|error| error.inside(key_step(&entry.key), entry.position.or(entry.value.position)))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, ReadError> {
        let Some(entry) = self.entries.get(self.next) else {
            return Err(ReadError::at("a value without a key", None));
        };
        self.next += 1;
        seed.deserialize(Reader(&entry.value))
            .map_err(|error| error.inside(key_step(&entry.key), entry.value.position.or(entry.position)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len() - self.next.min(self.entries.len()))
    }
}

/// A key: a text that may have to be a number.
struct Key<'a>(&'a str);

impl<'de> Key<'de> {
    fn number<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        if let Ok(number) = self.0.parse::<u64>() {
            return visitor.visit_u64(number);
        }
        match self.0.parse::<i64>() {
            Ok(number) => visitor.visit_i64(number),
            Err(_) => visitor.visit_borrowed_str(self.0),
        }
    }
}

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.number(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.number(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.number(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.number(visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.number(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i128 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq tuple tuple_struct
        map struct identifier ignored_any
    }
}

/// One of several forms: its name, and what belongs to it.
struct Choice<'a> {
    name: &'a str,
    value: Option<&'a Entry>,
}

impl<'de> EnumAccess<'de> for Choice<'de> {
    type Error = ReadError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), ReadError> {
        Ok((seed.deserialize(Key(self.name))?, self))
    }
}

impl<'de> Choice<'de> {
    fn value(&self) -> Result<Reader<'de>, ReadError> {
        let missing = || ReadError::at(format!("`{}` needs a value of its own", self.name), None);
        self.value.map(|entry| Reader(&entry.value)).ok_or_else(missing)
    }

    fn inside<T>(&self, result: Result<T, ReadError>) -> Result<T, ReadError> {
        let position = self.value.and_then(|entry| entry.position);
        result.map_err(|error| error.inside(key_step(self.name), position))
    }
}

impl<'de> VariantAccess<'de> for Choice<'de> {
    type Error = ReadError;

    fn unit_variant(self) -> Result<(), ReadError> {
        match self.value.map(|entry| &entry.value.content) {
            None | Some(Content::Scalar(Scalar { meaning: Meaning::Nothing, .. })) => Ok(()),
            Some(_) => Err(ReadError::at(format!("`{}` has no value of its own", self.name), None)),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, ReadError> {
        let value = self.value()?;
        self.inside(seed.deserialize(value))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ReadError> {
        let value = self.value()?;
        self.inside(value.deserialize_any(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, ReadError> {
        let value = self.value()?;
        self.inside(value.deserialize_any(visitor))
    }
}
