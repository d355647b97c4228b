# syntax=docker/dockerfile:1
# check=skip=JSONArgsRecommended

# VERSION is the release of Node to build with
ARG VERSION=22 \
    VARIANT=slim

# build makes the bundle
FROM --platform=$BUILDPLATFORM node:${VERSION}-${VARIANT} AS Build
WORKDIR /src
COPY package.json package-lock.json ./
RUN --mount=type=cache,target=/root/.npm,sharing=locked \
    --mount=type=secret,id=npmrc,target=/root/.npmrc,required \
    --network=default \
    npm ci
COPY --exclude=**/*.md --exclude=dist . .
ENV NODE_ENV=production NOTE="two words" PATH=/src/node_modules/.bin:$PATH
RUN set -eu; \
    # a comment inside

    npm run build && \
    npm prune
RUN <<-'SCRIPT'
	#!/bin/sh
	echo "no $expansion"
	SCRIPT

# check=skip=all
FROM nginx:stable
LABEL org.opencontainers.image.title="web" \
      org.opencontainers.image.version=$VERSION
LABEL old style of a label
COPY --from=build --chown=101:101 --chmod=u=rwX,go=rX --link /src/dist/ /usr/share/nginx/html/
COPY <<EOF <<robots.txt /usr/share/nginx/html/
<h1>$TITLE</h1>
EOF
User-agent: *
robots.txt
ADD --checksum=sha256:0123 --unpack=true https://example.com/a.tar.gz /opt/
ADD ["a file", "b file", "/with blanks/"]
EXPOSE 8080 443/tcp 80
VOLUME ["/data", "/logs"]
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
HEALTHCHECK --interval=30s --timeout=3s --start-period=1m --retries=5 \
  CMD curl -f http://localhost/ || exit 1
STOPSIGNAL SIGQUIT
USER nginx:nginx
ONBUILD COPY <<CONF /etc/nginx/conf.d/site.conf
server {}
CONF
ENTRYPOINT ["nginx", "-g", "daemon off;"]
CMD []
