mkdir -p node_modules/x && echo x > node_modules/x/index.js
