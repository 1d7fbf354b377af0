//! Reading what may be written shorter: a text where a map is also taken.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Unexpected, Visitor};

/// Reads a text by `of_text`, or a map as `M` by `of_map`; anything else is refused with `wanted`.
pub(crate) fn text_or_map<'de, D, M, T>(
    deserializer: D,
    wanted: &'static str,
    of_text: impl FnOnce(&str) -> Result<T, String>,
    of_map: impl FnOnce(M) -> Result<T, String>,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    M: Deserialize<'de>,
{
    struct Either<M, T, A, B> {
        wanted: &'static str,
        of_text: A,
        of_map: B,
        is: PhantomData<fn(M) -> T>,
    }

    impl<'de, M, T, A, B> Visitor<'de> for Either<M, T, A, B>
    where
        M: Deserialize<'de>,
        A: FnOnce(&str) -> Result<T, String>,
        B: FnOnce(M) -> Result<T, String>,
    {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.wanted)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            (self.of_text)(text).map_err(E::custom)
        }

        fn visit_map<A2: MapAccess<'de>>(self, map: A2) -> Result<T, A2::Error> {
            (self.of_map)(M::deserialize(MapAccessDeserializer::new(map))?).map_err(A2::Error::custom)
        }
    }

    deserializer.deserialize_any(Either { wanted, of_text, of_map, is: PhantomData })
}

/// Reads a key that has no value of its own: `{body: , matches: x}`; `true` is taken, too.
pub(super) fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    struct There;
    impl<'de> Visitor<'de> for There {
        type Value = bool;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("no value: what is asked of it stands in a key beside it")
        }

        fn visit_unit<E: Error>(self) -> Result<bool, E> {
            Ok(true)
        }

        fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
            if value { Ok(true) } else { Err(E::invalid_value(Unexpected::Bool(false), &self)) }
        }
    }
    deserializer.deserialize_any(There)
}

/// Reads a value that may be `null` and is there all the same.
pub(super) fn some_value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(deserializer).map(Some)
}
