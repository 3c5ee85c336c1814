"""The rule by which frames become one decision: chosen on validation examinations, measured on test ones."""
