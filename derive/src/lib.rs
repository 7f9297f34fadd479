//! The derive macro behind `crashbed::Recoverable`.
//!
//! It writes the one `unsafe impl` that a program would else write by hand, and beside it the code that lets the
//! compiler check the promise field by field. The check is a function and no `where` clause, so that a type may
//! hold itself (`Node(Box<Tree>, Box<Tree>)`), and each complaint points at the field that it is about.

use proc_macro::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Fields, Type, parse_macro_input, parse_quote};

/// Derives `crashbed::Recoverable` for a struct or an enum of which every field is `Recoverable`.
///
/// Type parameters get the bound `Recoverable`. Refused, each at its place: a field that is not `Recoverable`, a
/// lifetime parameter, a union, and a type with a `Drop` of its own, for a crash takes back memory and nothing else:
/// what such a `Drop` had released would be released again.
///
/// The check knows types, not meanings. A type whose own `unsafe` code makes more of a plain field than a number
/// (a descriptor, an address kept as `usize`) breaks the trait's contract and must not derive it.
///
/// ```
/// use crashbed::Recoverable;
/// use std::collections::HashMap;
///
/// #[derive(Default, Recoverable)]
/// struct Index {
///     words: HashMap<String, u64>,
/// }
/// ```
#[proc_macro_derive(Recoverable)]
pub fn recoverable(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(input).unwrap_or_else(Error::into_compile_error).into()
}

fn expand(input: DeriveInput) -> Result<proc_macro2::TokenStream, Error> {
    let fields = field_types(&input)?;
    refuse_lifetimes(&input)?;

    let name = &input.ident;
    let mut generics = input.generics.clone();
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(parse_quote!(::crashbed::Recoverable));
    }
    let (parameters, arguments, conditions) = generics.split_for_impl();
    let checks = fields.iter().map(|field| quote_spanned!(field.span()=> recoverable::<#field>();));

    Ok(quote! {
        // SAFETY: `FieldsAreRecoverable` below compiles only where every field keeps the contract, and a value
        // without a `Drop` of its own is no more than its fields.
        #[automatically_derived]
        unsafe impl #parameters ::crashbed::Recoverable for #name #arguments #conditions {}

        #[allow(dead_code, drop_bounds)]
        const _: () = {
            fn recoverable<Field: ::crashbed::Recoverable>() {}

            // A trait, as its method is generic like the type and knows `Self`, which a field may name.
            trait FieldsAreRecoverable {
                fn check();
            }
            impl #parameters FieldsAreRecoverable for #name #arguments #conditions {
                fn check() {
                    #(#checks)*
                }
            }

            // The two impls overlap, which is an error, exactly where the type has a `Drop` of its own.
            trait RecoverableTypeHasNoDropOfItsOwn {}
            impl<Any: ::core::ops::Drop + ?Sized> RecoverableTypeHasNoDropOfItsOwn for Any {}
            impl #parameters RecoverableTypeHasNoDropOfItsOwn for #name #arguments #conditions {}
        };
    })
}

/// The types of all fields, of all variants.
fn field_types(input: &DeriveInput) -> Result<Vec<&Type>, Error> {
    match &input.data {
        Data::Struct(data) => Ok(types(&data.fields).collect()),
        Data::Enum(data) => Ok(data.variants.iter().flat_map(|variant| types(&variant.fields)).collect()),
        Data::Union(data) => Err(Error::new(
            data.union_token.span,
            "a union cannot be Recoverable: nothing says which of its fields is alive; use an enum",
        )),
    }
}

fn types(fields: &Fields) -> impl Iterator<Item = &Type> {
    fields.iter().map(|field| &field.ty)
}

/// A type with a lifetime borrows from somewhere, and a state outlives whatever it could borrow from.
fn refuse_lifetimes(input: &DeriveInput) -> Result<(), Error> {
    let errors = input.generics.lifetimes().map(|parameter| {
        let lifetime = &parameter.lifetime;
        let message = format!("a Recoverable type cannot borrow ({lifetime}): it outlives the process that made it");
        Error::new(lifetime.span(), message)
    });
    match errors.reduce(|mut all, error| {
        all.combine(error);
        all
    }) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}
