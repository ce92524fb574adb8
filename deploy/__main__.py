"""Write the manifests to where kustomize reads them."""

from __future__ import annotations

from deploy import BASE, generated

if __name__ == "__main__":
    for name, text in generated().items():
        (BASE / name).write_text(text)
