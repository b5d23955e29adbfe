"""The bundled network: how it is trained, and what every output made with it must say."""

NOTICE = "bundled network: for trying out, not validated for research"
