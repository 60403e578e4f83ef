//! The attribute `#[landfall::main]`, which `landfall` re-exports and documents how to use, and what the
//! macros of `landfall-log` become in an image that logs by defmt (`frame`).
#![forbid(unsafe_code)]

mod frame;

use proc_macro::TokenStream;
use quote::quote;
use syn::{Error, Expr, ExprLit, ItemFn, Lit, MetaNameValue, ReturnType, parse_macro_input};

/// Makes an `async fn` the app that the board starts.
///
/// The function takes a `landfall::System` and, where the app has boot arguments, the `Arguments`
/// that `landfall::arguments!` declared. It returns a `Result` whose error can be displayed.
/// `#[landfall::main(name = "…")]` calls the app by another name than its package's.
///
/// # Errors
/// A compile error that names what is wrong with the function.
#[proc_macro_attribute]
pub fn main(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let function = parse_macro_input!(item as ItemFn);
    let name = match name(attribute).and_then(|name| check(&function).map(|()| name)) {
        Ok(name) => name,
        Err(error) => return error.to_compile_error().into(),
    };
    let mut app_function = function.clone();
    app_function.sig.ident = quote::format_ident!("__landfall_main");
    let call = match function.sig.inputs.len() {
        1 => quote! { ::landfall::App::new::<(), _, _, _>(|system, ()| __landfall_main(system)) },
        _ => quote! { ::landfall::App::new(__landfall_main) },
    };
    // Of the app's package: the macro's own are of another.
    let name = match name {
        Some(name) => quote! { #name },
        None => quote! { ::core::env!("CARGO_PKG_NAME") },
    };
    let call = quote! {
        #call.named(&::landfall::Identity {
            name: #name,
            version: ::core::env!("CARGO_PKG_VERSION"),
        })
    };
    quote! {
        #app_function

        #[cfg(target_os = "none")]
        #[unsafe(no_mangle)]
        extern "C" fn landfall_start(device_tree: usize) -> ! {
            ::landfall_board::start(device_tree, #call)
        }

        #[cfg(not(target_os = "none"))]
        fn main() {
            ::landfall_board::start(#call)
        }
    }
    .into()
}

/// Reads the attribute's `name = "…"`.
fn name(attribute: TokenStream) -> Result<Option<Lit>, Error> {
    if attribute.is_empty() {
        return Ok(None);
    }
    let given: MetaNameValue = syn::parse(attribute)?;
    match given.value {
        Expr::Lit(ExprLit { lit, .. })
            if given.path.is_ident("name") && matches!(lit, Lit::Str(_)) =>
        {
            Ok(Some(lit))
        }
        other => Err(Error::new_spanned(
            other,
            "#[landfall::main] takes nothing but name = \"…\"",
        )),
    }
}

fn check(function: &ItemFn) -> Result<(), Error> {
    let signature = &function.sig;
    if signature.asyncness.is_none() {
        return Err(Error::new_spanned(
            signature,
            "the app's main must be an `async fn`",
        ));
    }
    if !(1..=2).contains(&signature.inputs.len()) {
        return Err(Error::new_spanned(
            &signature.inputs,
            "the app's main takes `landfall::System` and, if it has any, its `Arguments`",
        ));
    }
    if matches!(signature.output, ReturnType::Default) {
        return Err(Error::new_spanned(
            signature,
            "the app's main returns a `Result`, so that it can say why it ended",
        ));
    }
    Ok(())
}

/// A log line as a defmt frame; the macros of `landfall-log` expand to it.
#[doc(hidden)]
#[proc_macro]
pub fn log_frame(line: TokenStream) -> TokenStream {
    parse_macro_input!(line as frame::Line).expand().into()
}
