"""Only here so that pytest puts this folder on the path: tests in any subfolder can `import hub_server`."""
