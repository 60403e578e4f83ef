//! `log_frame!`: a log line as a defmt frame. Its format string is that of `core::fmt`, and becomes one of
//! defmt, whose text stays out of the image.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::{
    Expr, Ident, LitStr, Token,
    parse::{Parse, ParseStream},
};

/// `[the crate landfall-log] Level, target, "format", arguments`.
pub(crate) struct Line {
    home: TokenStream,
    level: Ident,
    target: Expr,
    format: LitStr,
    arguments: Vec<Given>,
}

/// An argument as it is written: `value` or `name = value`.
struct Given {
    name: Option<Ident>,
    value: Expr,
}

impl Parse for Line {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let home;
        syn::bracketed!(home in input);
        let home = home.parse()?;
        let level = input.parse()?;
        input.parse::<Token![,]>()?;
        let target = input.parse()?;
        input.parse::<Token![,]>()?;
        let format = input.parse()?;
        let mut arguments = Vec::new();
        while !input.is_empty() {
            input.parse::<Token![,]>()?;
            if input.is_empty() {
                break;
            }
            let named = input.peek(Ident) && input.peek2(Token![=]) && !input.peek2(Token![==]);
            let name = match named {
                true => {
                    let name = input.parse()?;
                    input.parse::<Token![=]>()?;
                    Some(name)
                }
                false => None,
            };
            let value = input.parse()?;
            arguments.push(Given { name, value });
        }
        Ok(Self {
            home,
            level,
            target,
            format,
            arguments,
        })
    }
}

impl Line {
    pub(crate) fn expand(self) -> TokenStream {
        let (home, level, given_target) = (&self.home, &self.level, &self.target);
        let target = own("target");
        let (format, shown) = match self.translated() {
            Ok(translated) => translated,
            Err(error) => return error.to_compile_error(),
        };
        let format = LitStr::new(&format!("{{=str}}: {format}"), self.format.span());
        let send = format_ident!("{}", level.to_string().to_lowercase());
        let values = self.arguments.iter().map(|argument| &argument.value);
        let names = (0..self.arguments.len()).map(argument_name);
        quote! {{
            let #target: &str = #given_target;
            if #home::wants(#home::Level::#level, #target) {
                match (#(&#values,)*) {
                    (#(#names,)*) => {
                        #[allow(unused_imports, reason = "which of them, the arguments' types say")]
                        use #home::{defmt, ByText as _, ByValue as _};
                        defmt::#send!(#format, #target, #(#shown),*)
                    }
                }
            }
        }}
    }

    /// The format string for defmt, and what goes into it.
    fn translated(&self) -> syn::Result<(String, Vec<TokenStream>)> {
        let error = |what: &str| syn::Error::new(self.format.span(), what);
        let text = self.format.value();
        let (mut format, mut shown, mut next) = (String::new(), Vec::new(), 0);
        let mut rest = text.as_str();
        while let Some(at) = rest.find(['{', '}']) {
            format += &rest[..at];
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                format += brace;
                format += brace;
                rest = after;
                continue;
            }
            let (hole, after) = match rest.split_once('}') {
                Some(split) if brace == "{" => split,
                _ => {
                    return Err(error(
                        "a brace without its other one; `{{` and `}}` are texts",
                    ));
                }
            };
            rest = after;
            format += "{}";
            let (name, how) = hole.split_once(':').unwrap_or((hole, ""));
            if how.contains(['$', '*']) {
                return Err(error(
                    "a width or precision that is an argument is not for frames",
                ));
            }
            let value = self
                .argument(name.trim(), &mut next)
                .ok_or_else(|| error("an argument is missing"))?;
            shown.push(self.shown(&value, how.trim()));
        }
        Ok((format + rest, shown))
    }

    /// The reference to the argument that a hole in the format string names, or to the next one.
    fn argument(&self, name: &str, next: &mut usize) -> Option<TokenStream> {
        let number = if name.is_empty() {
            *next += 1;
            Some(*next - 1)
        } else if let Ok(number) = name.parse() {
            Some(number)
        } else {
            let named = |it: &Given| it.name.as_ref().is_some_and(|it| it == name);
            self.arguments.iter().position(named)
        };
        match number {
            Some(number) => (number < self.arguments.len()).then(|| {
                let name = argument_name(number);
                quote!(#name)
            }),
            // A variable.
            None => {
                let variable = Ident::new(name, self.format.span());
                Some(quote!(&#variable))
            }
        }
    }

    fn shown(&self, value: &TokenStream, how: &str) -> TokenStream {
        let home = &self.home;
        match how {
            "" => quote!((&#home::Argument(#value)).shown()),
            "?" => quote!(defmt::Debug2Format(#value)),
            how => {
                let format = LitStr::new(&format!("{{:{how}}}"), self.format.span());
                quote!(defmt::Display2Format(
                    &::core::format_args!(#format, #value)
                ))
            }
        }
    }
}

fn argument_name(number: usize) -> Ident {
    own(&format!("argument{number}"))
}

/// A name that no variable of the line's user is mistaken for.
fn own(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The format string and the arguments of a line.
    fn translated(line: &str) -> syn::Result<(String, Vec<String>)> {
        let line: Line = syn::parse_str(&format!("[l] Info, \"target\", {line}"))?;
        let (format, shown) = line.translated()?;
        let shown = shown.iter().map(|it| it.to_string().replace(' ', ""));
        Ok((format, shown.collect()))
    }

    #[test]
    fn holes_become_those_of_defmt() {
        let value = |name: &str| format!("(&l::Argument({name})).shown()");
        let (format, shown) = translated(r#""{} {{}} {own} {0} {n}", 1 + 2, n = 5,"#).unwrap();
        assert_eq!(format, "{} {{}} {} {} {}");
        let names = ["argument0", "&own", "argument0", "argument1"];
        assert_eq!(shown, names.map(value));
    }

    #[test]
    fn other_forms_go_as_text() {
        let (format, shown) = translated(r#""{:?} {peer:>5}", a == b"#).unwrap();
        assert_eq!(format, "{} {}");
        assert_eq!(shown[0], "defmt::Debug2Format(argument0)");
        let text = r#"defmt::Display2Format(&::core::format_args!("{:>5}",&peer))"#;
        assert_eq!(shown[1], text);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for line in [
            r#""{""#,
            r#""}""#,
            r#""{}""#,
            r#""{1}", 5"#,
            r#""{:1$}", 5, 6"#,
        ] {
            assert!(translated(line).is_err(), "{line}");
        }
    }
}
