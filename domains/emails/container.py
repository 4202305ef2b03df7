"""What the emails domain depends on and what it exports."""

from pathlib import Path

from dependency_injector import containers, providers

from domains.emails import router as router_module
from domains.emails import tasks as tasks_module
from domains.emails.gateway.null import NullTransport
from domains.emails.gateway.transport import SmtpTransport
from domains.emails.repository import EmailRepository
from domains.emails.service.delivery import DeliveryService
from domains.emails.service.emails import EmailEraser, EmailService
from domains.emails.service.encryption import MailEncryption
from domains.emails.service.mailer import MailerService
from domains.emails.service.measuring import EmailMeasures
from domains.emails.service.mime import mail_host
from domains.emails.service.rendering import Renderer
from domains.emails.service.resolving import ResolutionService
from domains.emails.service.retention import RetentionService
from domains.emails.settings import EmailsSettings, parse_smtp_url
from domains.jobs.public import Jobs

TEMPLATES = Path(__file__).parent / "templates"


def _renderer(folders: dict[str, Path], settings: EmailsSettings, public_url: str) -> Renderer:
    return Renderer(
        folders, own_folder=TEMPLATES, product=settings.emails_product_name, public_url=public_url
    )


def _transport(settings: EmailsSettings, public_url: str) -> SmtpTransport:
    if settings.emails_smtp_url is None:
        return NullTransport()
    # Of the processes only those that deliver mails speak SMTP.
    from domains.emails.gateway.smtp import SmtpGateway  # noqa: PLC0415  # as above

    server = parse_smtp_url(settings.emails_smtp_url.get_secret_value())
    return SmtpGateway(server, settings=settings, local_hostname=mail_host(public_url))


class EmailsContainer(containers.DeclarativeContainer):
    """Transactional mail and its delivery."""

    core = providers.DependenciesContainer()
    jobs: providers.Dependency[Jobs] = providers.Dependency()
    template_folders = providers.Dependency(instance_of=dict)

    repository = providers.ThreadSafeSingleton(EmailRepository, core.database)
    encryption = providers.ThreadSafeSingleton(MailEncryption, core.settings.provided.plain_mail_keys)
    renderer = providers.ThreadSafeSingleton(
        _renderer, template_folders, core.settings, core.settings.provided.public_url
    )
    transport = providers.ThreadSafeSingleton(_transport, core.settings, core.settings.provided.public_url)

    mailer = providers.ThreadSafeSingleton(
        MailerService,
        emails=repository,
        transaction=core.transaction,
        outbox=core.outbox,
        clock=core.clock,
        renderer=renderer,
        encryption=encryption,
        settings=core.settings,
        public_url=core.settings.provided.public_url,
    )
    delivery = providers.ThreadSafeSingleton(
        DeliveryService,
        emails=repository,
        transaction=core.transaction,
        outbox=core.outbox,
        jobs=jobs,
        clock=core.clock,
        transport=transport,
        encryption=encryption,
        settings=core.settings,
    )
    service = providers.ThreadSafeSingleton(EmailService, emails=repository)
    resolution = providers.ThreadSafeSingleton(
        ResolutionService,
        emails=repository,
        jobs=jobs,
        transaction=core.transaction,
        outbox=core.outbox,
        clock=core.clock,
        settings=core.settings,
        audit=core.audit_log,
    )
    retention = providers.ThreadSafeSingleton(
        RetentionService,
        emails=repository,
        transaction=core.transaction,
        clock=core.clock,
        settings=core.settings,
    )
    personal_data = providers.ThreadSafeSingleton(
        EmailEraser, emails=repository, transaction=core.transaction, clock=core.clock
    )

    measures = providers.ThreadSafeSingleton(EmailMeasures, repository)

    routers = providers.Object([router_module.router])
    stoppables = providers.List(transport)
    tasks = providers.Object(tasks_module)
    templates = providers.Object(TEMPLATES)
    resource_urls = providers.Object({"email": "/v1/emails/{id}"})
