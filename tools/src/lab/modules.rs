//! Kernel modules: the wanted ones and those that they depend on, each after what it needs.
//!
//! Debian's kernel package has no `modules.dep` (it is made when the package is installed), so the
//! dependencies are read where they come from: the `.modinfo` section of each module.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSection};

use super::tree::{Tree, decompressed};

/// A module to load.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Module {
    /// Its name, with `_` for `-`.
    name: String,
    /// The ELF file.
    data: Rc<[u8]>,
}

/// The modules of a kernel package.
struct Kernel<'a> {
    packages: &'a Tree,
    paths: BTreeMap<String, &'a str>,
    built_in: BTreeSet<String>,
}

/// Adds the modules `wanted` to `folder` of `tree`, with what they need. Their names begin with numbers, in
/// the order in which they must be loaded.
pub(crate) fn add(tree: &mut Tree, packages: &Tree, wanted: &[&str], folder: &str) -> Result<()> {
    for (index, module) in in_order(packages, wanted)?.into_iter().enumerate() {
        tree.insert(
            &format!("{folder}/{index:02}-{}.ko", module.name),
            0o644,
            module.data,
        );
    }
    Ok(())
}

/// Returns the modules `wanted` and those that they need, in the order in which they must be loaded.
/// What the kernel has built in is left out.
fn in_order(packages: &Tree, wanted: &[&str]) -> Result<Vec<Module>> {
    let kernel = Kernel::new(packages);
    let mut modules = Vec::new();
    for name in wanted {
        kernel.add(&normal(name), &mut modules)?;
    }
    Ok(modules)
}

impl<'a> Kernel<'a> {
    fn new(packages: &'a Tree) -> Self {
        let mut paths = BTreeMap::new();
        let mut built_in = BTreeSet::new();
        for (path, _) in packages
            .iter()
            .filter(|(path, _)| path.starts_with("usr/lib/modules/"))
        {
            paths.extend(name_in(path).map(|name| (name, path)));
            if path.ends_with("/modules.builtin") {
                let list = packages.file(path).unwrap_or_default();
                built_in.extend(String::from_utf8_lossy(list).lines().filter_map(name_in));
            }
        }
        Self {
            packages,
            paths,
            built_in,
        }
    }

    fn add(&self, name: &str, modules: &mut Vec<Module>) -> Result<()> {
        if self.built_in.contains(name) || modules.iter().any(|module| module.name == name) {
            return Ok(());
        }
        let Some(path) = self.paths.get(name) else {
            bail!("the kernel's package has no module {name}, and the kernel has none built in");
        };
        let data = self
            .read(path)
            .with_context(|| format!("cannot read {path}"))?;
        for needed in depends(&data).with_context(|| format!("{path} is a damaged module"))? {
            self.add(&needed, modules)?;
        }
        modules.push(Module {
            name: name.to_owned(),
            data: data.into(),
        });
        Ok(())
    }

    fn read(&self, path: &str) -> Result<Vec<u8>> {
        let packed = self.packages.file(path).unwrap_or_default();
        let (_, extension) = path.rsplit_once(".ko").unwrap_or_default();
        let mut data = Vec::new();
        decompressed(extension, packed)?.read_to_end(&mut data)?;
        Ok(data)
    }
}

/// The name of the module at a path `…/virtio-net.ko` or `….ko.xz`.
fn name_in(path: &str) -> Option<String> {
    let (stem, _) = path.rsplit_once(".ko")?;
    stem.rsplit('/').next().map(normal)
}

/// A name as the kernel writes it.
fn normal(name: &str) -> String {
    name.replace('-', "_")
}

/// What a module says that it depends on: `depends=a,b` among the strings of `.modinfo`.
fn depends(module: &[u8]) -> Result<Vec<String>> {
    let file = object::File::parse(module)?;
    let section = file
        .section_by_name(".modinfo")
        .context("it has no section .modinfo")?;
    let list = section
        .data()?
        .split(|byte| *byte == 0)
        .find_map(|text| text.strip_prefix(b"depends="))
        .unwrap_or_default();
    let names = String::from_utf8_lossy(list);
    Ok(names
        .split(',')
        .filter(|name| !name.is_empty())
        .map(normal)
        .collect())
}

#[cfg(test)]
mod tests {
    use object::write::{Object, StandardSegment};
    use object::{Architecture, BinaryFormat, Endianness, SectionKind};

    use super::*;

    fn module(depends: &str) -> Vec<u8> {
        let mut file = Object::new(BinaryFormat::Elf, Architecture::Aarch64, Endianness::Little);
        let segment = file.segment_name(StandardSegment::Data).to_vec();
        let section = file.add_section(segment, b".modinfo".to_vec(), SectionKind::ReadOnlyData);
        let info = format!("license=GPL\0depends={depends}\0name=x\0");
        file.set_section_data(section, info.into_bytes(), 1);
        file.write().expect("an object file")
    }

    fn packages() -> Tree {
        let mut tree = Tree::default();
        let mut add = |path: &str, data: Vec<u8>| {
            tree.insert(&format!("usr/lib/modules/6.1/{path}"), 0o644, data)
        };
        add(
            "kernel/net/virtio_net.ko",
            module("net_failover,virtio-ring,virtio"),
        );
        add("kernel/net/net_failover.ko", module("failover"));
        add("kernel/net/failover.ko", module(""));
        add("kernel/virtio/virtio_ring.ko", module("virtio"));
        add("modules.builtin", b"kernel/virtio/virtio.ko\n".to_vec());
        add("kernel/net/broken.ko", b"no ELF".to_vec());
        tree
    }

    fn names(wanted: &[&str]) -> Result<Vec<String>> {
        let modules = in_order(&packages(), wanted)?;
        Ok(modules.into_iter().map(|module| module.name).collect())
    }

    #[test]
    fn each_module_comes_after_what_it_needs() {
        let names = names(&["virtio-net", "failover"]).expect("all are there");
        assert_eq!(
            names,
            ["failover", "net_failover", "virtio_ring", "virtio_net"]
        );
    }

    #[test]
    fn a_module_that_is_nowhere_is_named() {
        let error = names(&["xenfs"]).expect_err("no such module");
        assert!(error.to_string().contains("no module xenfs"), "{error}");
        assert!(names(&["broken"]).is_err());
    }
}
