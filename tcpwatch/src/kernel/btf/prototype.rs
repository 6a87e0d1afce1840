//! A function's parameters as text.

use super::BtfError;
use super::members::{MAX_DEPTH, TOO_DEEP};
use super::raw::{Kind, Raw, corrupt};

/// No function of a kernel has this many parameters; a hostile count would cost a text each.
const MAX_PARAMETERS: u32 = 64;

impl Raw {
    /// The types of the parameters of a `FUNC_PROTO`.
    pub fn parameters(&self, id: u32) -> Result<Vec<String>, BtfError> {
        let proto = self.resolve(id)?;
        if proto.kind != Kind::FuncProto {
            return Err(corrupt("a function has no prototype"));
        }
        if proto.vlen > MAX_PARAMETERS {
            return Err(corrupt("a function has more than 64 parameters"));
        }
        let mut parameters = Vec::new();
        for index in 0..proto.vlen as usize {
            let type_id = self.word(&proto, index * 2 + 1)?;
            // A parameter of type void can only be the last one, and stands for variable arguments.
            parameters.push(if type_id == 0 {
                "...".into()
            } else {
                self.type_text(type_id)?
            });
        }
        Ok(parameters)
    }

    /// A type as C writes it, without qualifiers, typedefs resolved.
    fn type_text(&self, mut id: u32) -> Result<String, BtfError> {
        // What C writes behind the name of the type, from the outside in: `*`, `(*)[4]`.
        let mut declarator = String::new();
        // The last typedef passed: the only name that an anonymous struct, union or enum has.
        let mut alias = None;
        for _ in 0..MAX_DEPTH {
            let ty = self.ty(id)?;
            id = ty.size_or_type;
            let word = match ty.kind {
                Kind::Volatile | Kind::Const | Kind::Restrict | Kind::TypeTag => continue,
                Kind::Typedef => {
                    alias = Some(ty);
                    continue;
                }
                Kind::Ptr => {
                    alias = None;
                    declarator.insert(0, '*');
                    continue;
                }
                Kind::Array => {
                    alias = None;
                    id = self.word(&ty, 0)?;
                    if declarator.starts_with('*') {
                        declarator = format!("({declarator})");
                    }
                    declarator.push_str(&format!("[{}]", self.word(&ty, 2)?));
                    continue;
                }
                Kind::Void => "void",
                Kind::FuncProto => "function",
                Kind::Int | Kind::Float => "",
                Kind::Struct => "struct",
                Kind::Union => "union",
                Kind::Fwd if ty.kind_flag => "union",
                Kind::Fwd => "struct",
                Kind::Enum | Kind::Enum64 => "enum",
                _ => return Err(corrupt("a parameter has a type that is none")),
            };
            let name = self.name_of(&ty)?;
            let mut text = match (word, name, alias) {
                ("void" | "function", ..) => word.to_owned(),
                ("", ..) => name.to_owned(),
                (_, "", Some(alias)) => self.name_of(&alias)?.to_owned(),
                (_, "", None) => format!("{word} (anonymous)"),
                _ => format!("{word} {name}"),
            };
            if !declarator.is_empty() {
                text.push(' ');
                text.push_str(&declarator);
            }
            return Ok(text);
        }
        Err(TOO_DEEP)
    }
}
