# escape=x
ARG =1
FORM debian
FROM debian:12 AS 1st
RUN --moutn=type=cache,target=/x true
RUN --network=internet \
    --mount=type=cache \
    true
COPY --form=build /a /b
COPY --from=${STAGE} /a /b
COPY one
COPY a <<EOF
text
EOF
ENV A=1 B
CMD ["a", 2]
HEALTHCHECK --interval=5 CMD true
SHELL /bin/sh
ONBUILD FROM x
VOLUME [""]
RUN <<DONE
echo not closed
